"""A drawing as a list of shapes, which becomes an SVG or, through Pillow, an image; needs no other program."""

import html
import re

from PIL import Image, ImageDraw, ImageFont

INK, QUIET, FAINT = "#1a1a1a", "#6b6b6b", "#d9d9d9"

# Nine colors that people with any kind of color blindness tell apart (Tol, "Colour schemes", SRON/EPS/TN/09-002,
# "muted"), on white; two of them darkened.
PALETTE = ("#332288", "#cc6677", "#117733", "#aa7f00", "#44aa99", "#882255", "#4aa8dd", "#999933", "#aa4499")


def colors(names):
    """A color for each name, in their order; after nine they repeat."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def tint(color, share=0.18):
    """`#rrggbb` mixed into white: `share` of it."""
    return "#" + "".join(f"{round(255 - share * (255 - int(color[i : i + 2], 16))):02x}" for i in (1, 3, 5))


def text_width(text, size=13):
    """Pixels that a line of text takes at most in a usual sans-serif font."""
    return 0.6 * size * len(text)


class Canvas:
    """Shapes on white. Coordinates are pixels from the upper left corner, colors `#rrggbb`.

    Args:
        width, height: size in pixels.
        title: what a screen reader says of it.
    """

    def __init__(self, width, height, title=""):
        self.width, self.height, self.title = round(width), round(height), title
        self.shapes = []

    def line(self, points, color=INK, width=1.5):
        """Straight pieces through `(x, y)` points."""
        self.shapes.append(("line", tuple(points), color, width))

    def arrow(self, points, color=INK, width=1.5):
        """A line whose last piece, along an axis, ends in a tip."""
        (x0, y0), (x1, y1) = points[-2:]
        along_x, along_y = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
        x2, y2 = x1 - 7 * along_x, y1 - 7 * along_y
        self.line([*points[:-1], (x2, y2)], color, width)
        sides = ((x2 + 4 * along_y, y2 + 4 * along_x), (x2 - 4 * along_y, y2 - 4 * along_x))
        self.shapes.append(("polygon", ((x1, y1), *sides), color))

    def box(self, x, y, width, height, fill, stroke=None, line=1.2, radius=0):
        """A rectangle, its corners rounded by `radius`."""
        self.shapes.append(("box", x, y, width, height, fill, stroke, line, radius))

    def dot(self, x, y, radius, color=INK):
        self.shapes.append(("dot", x, y, radius, color))

    def text(self, x, y, text, size=13, color=INK, anchor="middle"):
        """One line of text whose middle is at height `y`; `anchor` is `start`, `middle` or `end`."""
        self.shapes.append(("text", x, y, text, size, color, anchor))

    def colors(self):
        """The set of all colors in the drawing."""
        return {value for shape in self.shapes for value in shape if re.fullmatch("#[0-9a-f]{6}", str(value))}

    def svg(self):
        """The drawing as the text of an `<svg>` element, which shrinks with its surroundings."""
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        style = 'style="max-width:100%;height:auto" font-family="Helvetica, Arial, sans-serif"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style} role="img"><title>{html.escape(self.title)}'
        body = "\n".join(getattr(self, "_svg_" + shape[0])(*shape[1:]) for shape in self.shapes)
        return f'{head}</title><rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'

    def _svg_line(self, points, color, width):
        return f'<polyline points="{_points(points)}" fill="none" stroke="{color}" stroke-width="{width}"/>'

    def _svg_polygon(self, points, color):
        return f'<polygon points="{_points(points)}" fill="{color}"/>'

    def _svg_box(self, x, y, width, height, fill, stroke, line, radius):
        edge = f' stroke="{stroke}" stroke-width="{line}"' if stroke else ""
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        return f'<rect {place} rx="{radius}" fill="{fill}"{edge}/>'

    def _svg_dot(self, x, y, radius, color):
        return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{color}"/>'

    def _svg_text(self, x, y, text, size, color, anchor):
        place = f'x="{x:g}" y="{y + 0.35 * size:g}" text-anchor="{anchor}"'
        return f'<text {place} font-size="{size}" fill="{color}">{html.escape(text)}</text>'

    def image(self):
        """The drawing as a `PIL.Image.Image` of its size, drawn at twice that and reduced, for smooth lines."""
        image = Image.new("RGB", (2 * self.width, 2 * self.height), "white")
        pen = ImageDraw.Draw(image)
        for shape in self.shapes:
            getattr(self, "_draw_" + shape[0])(pen, *shape[1:])
        return image.reduce(2)

    def _draw_line(self, pen, points, color, width):
        pen.line([(2 * x, 2 * y) for x, y in points], color, round(2 * width), "curve")

    def _draw_polygon(self, pen, points, color):
        pen.polygon([(2 * x, 2 * y) for x, y in points], color)

    def _draw_box(self, pen, x, y, width, height, fill, stroke, line, radius):
        corners = (2 * x, 2 * y, 2 * (x + width), 2 * (y + height))
        pen.rounded_rectangle(corners, 2 * radius, fill, stroke, round(2 * line) if stroke else 0)

    def _draw_dot(self, pen, x, y, radius, color):
        pen.ellipse((2 * (x - radius), 2 * (y - radius), 2 * (x + radius), 2 * (y + radius)), color)

    def _draw_text(self, pen, x, y, text, size, color, anchor):
        side = {"start": "l", "middle": "m", "end": "r"}[anchor]
        pen.text((2 * x, 2 * y), text, color, ImageFont.load_default(2 * size), side + "m")


def _points(points):
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)

"""The largest eigenvalue of the Hessian of the validation loss with respect to the architecture parameters.

Zela et al. 2020 (arXiv:1909.09656) found it to rise before DARTS collapses. It is found by Lanczos's method on products
of the Hessian with vectors; the Hessian itself is never made.
"""

import typing

import numpy as np
import tensorflow as tf

from tfdarts import precision
from tfdarts.errors import UserError
from tfdarts.tasks.base import VALID
from tfdarts.training.learner import Call

MOST_PRODUCTS = 40
TOLERANCE = 1e-3  # of the residual, over the eigenvalue, whose own error is about the square of that
SYMMETRIC = 1e-2  # by how much u H v and v H u may differ, over the largest entry of the projected Hessian
_REFUSED = (
    "the eigenvalue of the Hessian cannot be measured with these operations (leave it out of --monitors and --stop): "
)
_STRAIGHT = "the derivative of their gradient is not symmetric, so it is not the gradient of what they compute"


class Eigenvalue(typing.NamedTuple):
    """What `largest_eigenvalue` found.

    Attributes:
        value: the eigenvalue.
        residual: norm of `H v - value v`, `v` being the eigenvector that was found, of norm 1.
        converged: whether it is small enough.
        asymmetry: largest difference between `u H v` and `v H u`, over the largest such number.
        products: how many products of the matrix with a vector it took.
    """

    value: float
    residual: float
    converged: bool
    asymmetry: float
    products: int


def largest_eigenvalue(product, size, seed=0, tolerance=TOLERANCE, most=MOST_PRODUCTS):
    """The algebraically largest eigenvalue of a symmetric matrix, by Lanczos's method with full orthogonalisation.

    Args:
        product: function of a vector `(size,)` in double precision, the matrix times it.
        size: int.
        seed: of the vector that it begins with.
        tolerance: of the residual, over the eigenvalue.
        most: products at the most; never more than `size`.

    Returns:
        `Eigenvalue`.
    """
    vector = np.random.default_rng(seed).normal(size=size)
    basis, products = np.zeros((0, size)), np.zeros((0, size))
    for _ in range(min(most, size)):
        basis = np.vstack([basis, vector / np.linalg.norm(vector)])
        products = np.vstack([products, product(basis[-1])])
        projected = basis @ products.T
        values, vectors = np.linalg.eigh((projected + projected.T) / 2)
        value, found = values[-1], vectors[:, -1]
        residual = np.linalg.norm(found @ products - value * (found @ basis))
        scale = np.abs(projected).max()
        if residual <= tolerance * abs(value) and len(basis) > 1 or scale == 0:
            break
        vector = products[-1]
        for _ in range(2):  # twice is enough for all digits
            vector = vector - basis.T @ (basis @ vector)
        if np.linalg.norm(vector) <= 1e-12 * scale:
            break
    asymmetry = np.abs(projected - projected.T).max() / scale if scale else 0.0
    converged = bool(residual <= tolerance * abs(value))
    return Eigenvalue(float(value), float(residual), converged, float(asymmetry), len(basis))


class ByBatch(Call):
    """A network in evaluation, nothing dropped, that is normalised by the batch's own statistics."""

    def __call__(self, *inputs, training=None, **options):
        return super().__call__(*inputs, training=True, **options)


class Hessian:
    """The Hessian of a search's validation loss on one batch, all tables of architecture parameters together.

    The loss is that of the architecture's step without what is random: batch statistics, mixing weights as in
    validation, no dropout, no penalty. Second derivatives are exact, and taken eagerly. In a graph, those through max
    pooling come out as zero (TensorFlow 2.21: the kernel of MaxPoolGradGrad clears its result, and a graph lets it
    write that over its input where nothing else needs the input any more).

    Args:
        search: a `Darts`.
        batch: one of its batches of validation data, as the data set gives it.
    """

    def __init__(self, search, batch):
        self.search, self.batch = search, batch

    def products(self):
        """A function of a vector, the Hessian as the search is now times it, both in double precision.

        The passes forward and back are kept as long as the function is, so that each product is but one more pass.
        """
        search = self.search
        inputs = search.task.inputs(search.supernet, self.batch, None, VALID, penalized=False, restart=True)
        weights, alphas = search.weights_vector(), search.alphas.value
        with (
            precision.exact(search.supernet),
            tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer,
        ):
            outer.watch(alphas)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(alphas)
                call = ByBatch(search.supernet, weights, search.mixing_of(alphas))
                loss, _ = search.task.loss(call, inputs, training=False)
            gradient = inner.gradient(loss, alphas)

        def times(vector):
            along = tf.constant(vector, alphas.dtype)
            try:
                result = outer.gradient(gradient, alphas, along, unconnected_gradients="zero")
            except LookupError as error:
                raise UserError(f"{_REFUSED}{error}") from None
            return result.numpy().astype(np.float64)

        return times

    def check(self):
        """Raises UserError for an operation without a second derivative, or with a gradient that is none of its result.

        It takes two products.
        """
        size, times = self.search.alphas.shape[0], self.products()
        one, other = np.random.default_rng(self.search.seed).normal(size=(2, size)) / np.sqrt(size)
        first, second = times(one), times(other)
        if abs(other @ first - one @ second) > SYMMETRIC * (np.linalg.norm(first) + np.linalg.norm(second)):
            raise UserError(_REFUSED + _STRAIGHT)

    def largest(self, tolerance=TOLERANCE):
        """Its largest eigenvalue as the search is now, an `Eigenvalue`.

        Args:
            tolerance: as in `largest_eigenvalue`.

        Raises:
            UserError: as of `check`.
        """
        found = largest_eigenvalue(self.products(), self.search.alphas.shape[0], self.search.seed, tolerance)
        if found.asymmetry > SYMMETRIC:
            raise UserError(_REFUSED + _STRAIGHT)
        return found

"""The entries of Att-DARTS's attention modules: functions of key, name, channels and the map's side.

The layers are those of `ops/attention_modules.py`.
"""

from tfdarts.ops.attention_modules import RATIO
from tfdarts.pytorch.layouts import batch_norm, convolution, depthwise, weighted


def _squeezed(channels):
    return max(1, channels // RATIO)


def _se(key, name, channels, image):
    narrow = _squeezed(channels)
    return [
        *weighted(f"{key}excitation.0", f"{name}fc_1", "linear", (narrow, channels), bias=False),
        *weighted(f"{key}excitation.2", f"{name}fc_2", "linear", (channels, narrow), bias=False),
    ]


def _bam(key, name, channels, image):
    narrow, gate, spatial = _squeezed(channels), f"{key}channel_att.gate_c.gate_c_", f"{key}spatial_att.gate_s.gate_s_"
    return [
        *weighted(f"{gate}fc_0", f"{name}fc_1", "linear", (narrow, channels)),
        *batch_norm(f"{gate}bn_1.", f"{name}bn/", narrow),
        *weighted(f"{gate}fc_final", f"{name}fc_2", "linear", (channels, narrow)),
        *weighted(f"{spatial}conv_reduce0", f"{name}conv_reduce", "conv", (narrow, channels, 1, 1)),
        *batch_norm(f"{spatial}bn_reduce0.", f"{name}bn_reduce/", narrow),
        *weighted(f"{spatial}conv_di_0", f"{name}conv_dilated_1", "conv", (narrow, narrow, 3, 3)),
        *batch_norm(f"{spatial}bn_di_0.", f"{name}bn_dilated_1/", narrow),
        *weighted(f"{spatial}conv_di_1", f"{name}conv_dilated_2", "conv", (narrow, narrow, 3, 3)),
        *batch_norm(f"{spatial}bn_di_1.", f"{name}bn_dilated_2/", narrow),
        *weighted(f"{spatial}conv_final", f"{name}conv_final", "conv", (1, narrow, 1, 1)),
    ]


def _cbam(key, name, channels, image):
    narrow, spatial = _squeezed(channels), f"{key}SpatialAttention.spatial."
    return [
        *weighted(f"{key}ChannelAttention.mlp.1", f"{name}fc_1", "linear", (narrow, channels)),
        *weighted(f"{key}ChannelAttention.mlp.3", f"{name}fc_2", "linear", (channels, narrow)),
        convolution(f"{spatial}conv", f"{name}conv", 1, 2, 7, 7),
        *batch_norm(f"{spatial}bn.", f"{name}bn/", 1),
    ]


def _gather_excite(key, name, channels, image):
    narrow = _squeezed(channels)
    return [
        depthwise(f"{key}downop.dwconv", f"{name}depthwise", channels, image),
        *batch_norm(f"{key}downop.bn.", f"{name}bn/", channels),
        convolution(f"{key}mlp.0", f"{name}conv_1", narrow, channels),
        convolution(f"{key}mlp.2", f"{name}conv_2", channels, narrow),
    ]


def _double(key, name, channels, image):
    inner = max(1, channels // 4)
    shapes = {part: (inner, channels, 1, 1) for part in "ABV"} | {"Z": (channels, inner, 1, 1)}
    return [
        entry
        for part, shape in shapes.items()
        for entry in weighted(f"{key}conv{part}", f"{name}conv_{part}", "conv", shape)
    ]


ATTENTION = {"SE": _se, "BAM": _bam, "CBAM": _cbam, "GE_theta-plus": _gather_excite, "DoubleAttention": _double}

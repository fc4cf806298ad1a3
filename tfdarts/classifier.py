"""A network of an image space as a Keras user expects a classifier: probabilities, any `compile`, any `fit`."""

import keras
import tensorflow as tf


def network_of(model):
    """The network of a space in a model that was saved or trained: within a `Classifier`, or the model itself."""
    return model.network if isinstance(model, Classifier) else model


@keras.saving.register_keras_serializable("tfdarts")
class Classifier(keras.Model):
    """Class probabilities of a network, with its preprocessing inside if wanted.

    It is trained by Keras's own `compile` and `fit`, on labels or one-hot targets. An auxiliary head of the network
    adds its loss in training, with weight 0.4 as in DARTS (arXiv:1806.09055, section 3.2), and has no part in metrics.

    Args:
        network: built network of an image space, which gives logits.
        pixels: whether it takes pixels from 0 to 255, which it normalizes as in the network's training.

    Call arguments:
        images: `(batch, height, width, channels)`, or without the last axis where there is one channel.

    Returns:
        Probabilities `(batch, classes)`; in training, with an auxiliary head, a pair of them.

    Examples:
        >>> import numpy as np, tfdarts
        >>> net = tfdarts.build("DARTS_V2", input_shape=(8, 8, 1), classes=3, channels=2, layers=3)
        >>> net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> history = net.fit(np.zeros((4, 8, 8, 1)), np.array([0, 1, 2, 0]), verbose=0)
        >>> net.predict(np.zeros((2, 8, 8, 1)), verbose=0).shape
        (2, 3)
    """

    auxiliary_weight = 0.4

    def __init__(self, network, pixels=False, **kwargs):
        super().__init__(**kwargs)
        self.network, self.pixels = network, pixels

    @property
    def genotype(self):
        """The genotype that the network was built from; None for one without."""
        return self.network.genotype

    def build(self, shape):
        if not self.network.built:
            self.network.build(shape)
        self.built = True

    def call(self, images, training=None):
        images = images[..., None] if len(images.shape) == 3 else images
        x = self.network.preprocess(images) if self.pixels else images
        results = self.network(x, training=training)
        if isinstance(results, (tuple, list)):
            return tuple(tf.nn.softmax(logits) for logits in results)
        return tf.nn.softmax(results)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not isinstance(y_pred, (tuple, list)):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        main, auxiliary = (super(Classifier, self).compute_loss(x, y, p, sample_weight, training) for p in y_pred)
        return main + self.auxiliary_weight * auxiliary

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        main = y_pred[0] if isinstance(y_pred, (tuple, list)) else y_pred
        return super().compute_metrics(x, y, main, sample_weight)

    def get_config(self):
        return {"network": keras.saving.serialize_keras_object(self.network), "pixels": self.pixels}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["network"]), config["pixels"])

"""Makes small networks with Keras, and writes what they answer beside them."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

keras.utils.set_random_seed(1)
random = np.random.default_rng(0)
answers = {}


def answer(name, model, **inputs):
    given = [inputs[tensor.name] for tensor in model.inputs]
    found = model.predict(given if len(given) > 1 else given[0], verbose=0)
    for at, each in enumerate(found if isinstance(found, list) else [found]):
        answers[f"{name}/output_{at}"] = each
    answers.update({f"{name}/{key}": value for key, value in inputs.items()})


x = random.normal(size=(50, 4)).astype("float32")
network = keras.Sequential(
    [
        keras.Input((4,), name="x"),
        layers.Dense(16, activation="relu"),
        layers.BatchNormalization(),
        layers.Dense(3, activation="softmax"),
    ]
)
answer("network", network, x=x)
network.save("network.keras")
network.save("network.h5")
network.export("network", verbose=False)

image = random.normal(size=(20, 12, 12, 1)).astype("float32")
pictures = keras.Sequential(
    [
        keras.Input((12, 12, 1), name="image"),
        layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(5),
    ]
)
answer("pictures", pictures, image=image)
pictures.save("pictures.keras")

series = random.normal(size=(20, 6, 2)).astype("float32")
recurrent = keras.Sequential(
    [
        keras.Input((6, 2), name="series"),
        layers.Bidirectional(layers.GRU(3, return_sequences=True)),
        layers.LSTM(4),
        layers.Dense(1),
    ]
)
answer("recurrent", recurrent, series=series)
recurrent.save("recurrent.keras")
recurrent.export("recurrent", verbose=False)

left, right = keras.Input((3,), name="z_left"), keras.Input((2,), name="a_right")
joined = layers.Concatenate()([left, right])
two = keras.Model([left, right], [layers.Dense(1)(joined), layers.Dense(2)(joined)])
pair = random.normal(size=(20, 5)).astype("float32")
answer("two", two, z_left=pair[:, :3], a_right=pair[:, 3:])
two.save("two.keras")

tokens = random.integers(0, 40, (20, 5)).astype("int32")
embedded = keras.Sequential(
    [
        keras.Input((5,), dtype="int32", name="tokens"),
        layers.Embedding(40, 4),
        layers.GlobalAveragePooling1D(),
        layers.Dense(2),
    ]
)
answer("embedded", embedded, tokens=tokens)
embedded.save("embedded.keras")

open_steps = keras.Sequential([keras.Input((None, 1), name="series"), layers.LSTM(2)])
open_steps.save("open_steps.keras")
double = keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * 2), layers.Dense(1)])
double.save("lambda.keras")
double.save("lambda.h5")


class Own(layers.Layer):
    """Code that is in no file."""

    def call(self, values):
        return values * 3


class Reads(tf.Module):
    """A graph that reads any file."""

    @tf.function(input_signature=[tf.TensorSpec((), tf.string, name="path")])
    def serve(self, path):
        return {"content": tf.io.read_file(path)}


reads = Reads()
tf.saved_model.save(reads, "reads", signatures=reads.serve)
keras.Sequential([keras.Input((4,)), Own()]).save("own.keras")
network.save_weights("only.weights.h5")
np.savez("answers.npz", **answers)

import numpy as np
from handwriting import digits, varied


def test_every_image_is_in_one_part_only() -> None:
    train, test = digits(7)
    assert (len(train.images), len(test.images)) == (1438, 359)
    assert train.images.dtype == np.uint8
    assert train.images.shape[1:] == (8, 8, 1)
    assert (train.images.min(), train.images.max()) == (0, 255)
    everything = np.concatenate([train.images, test.images])
    assert len(np.unique(everything.reshape(-1, 64), axis=0)) == len(everything)
    assert set(test.digits) == set(range(10))


def test_the_seed_decides_which_is_where() -> None:
    assert np.array_equal(digits(7)[1].images, digits(7)[1].images)
    assert not np.array_equal(digits(7)[1].images, digits(8)[1].images)


def test_variations_are_new_bytes_of_the_same_shape() -> None:
    images = digits(7)[1].images
    once = varied(images, np.random.default_rng(1))
    assert once.shape == images.shape
    assert once.dtype == np.uint8
    assert np.array_equal(once, varied(images, np.random.default_rng(1)))
    assert not np.array_equal(once, varied(images, np.random.default_rng(2)))


def test_variations_move_by_a_pixel_at_most() -> None:
    dot = np.zeros((300, 8, 8, 1), np.uint8)
    dot[:, 4, 4] = 255
    made = varied(dot, np.random.default_rng(1)).astype(int)[..., 0]
    far = np.abs(made - np.median(made, axis=(1, 2), keepdims=True)).reshape(300, -1).argmax(axis=1)
    rows, columns = np.divmod(far, 8)
    assert set(rows) == set(columns) == {3, 4, 5}

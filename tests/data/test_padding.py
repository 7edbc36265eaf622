import numpy as np

from diminuendo.data.padding import pad


def test_the_longest_sets_the_length_and_the_rest_is_silence():
    padded, lengths = pad([np.array([1.0, 2.0]), np.array([3.0]), np.zeros(0)])
    assert padded.tolist() == [[1, 2], [3, 0], [0, 0]] and lengths.tolist() == [2, 1, 0]
    assert padded.dtype == np.float32 and lengths.dtype == np.int64  # as the files' inputs are

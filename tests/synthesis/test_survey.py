import numpy as np
import pytest

from diminuendo.synthesis.survey import RATE, cepstra, warped_distances


def glide(low, high, seconds):
    t = np.arange(round(RATE * seconds)) / RATE
    return np.sin(2 * np.pi * np.cumsum(np.linspace(low, high, len(t))) / RATE).astype(np.float32)


def test_the_nearest_word_is_the_same_word_at_another_speed():
    templates = [cepstra(glide(*ends, 0.5)) for ends in ((300, 2000), (2000, 300), (500, 600))]
    for index, ends in enumerate(((300, 2000), (2000, 300), (500, 600))):
        assert int(np.argmin(warped_distances(cepstra(0.2 * glide(*ends, 0.7)), templates))) == index


def test_a_word_has_no_distance_from_itself_whatever_it_is_compared_with():
    short, long = cepstra(glide(300, 900, 0.3)), cepstra(glide(300, 3000, 0.9))
    distances = warped_distances(short, [long, short])
    assert distances[1] == pytest.approx(0, abs=1e-5) and distances[0] > 0.1
    assert warped_distances(short, [long])[0] == pytest.approx(distances[0]), "padding must not count"

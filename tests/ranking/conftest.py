"""Settings for the tests of the rankers."""

from hypothesis import settings

# Times depend on the machine, and no test here is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

"""No deadlines for single examples: imports and a busy machine would break them, not the code."""

from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

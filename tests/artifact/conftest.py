from tests.factories.two_files import small_limit  # noqa: F401

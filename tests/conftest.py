"""What every test may ask for."""

from tests.twins.postgres import new_database, postgres, postgres_url

__all__ = ["new_database", "postgres", "postgres_url"]

//! An adaptive connection pool for threads and tasks in one queue, with SQLite and PostgreSQL managers.

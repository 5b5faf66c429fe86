"""The database: SQLModel tables, engines, the group-committing writer, repositories. The only SQL of the service.

Repositories are plain functions on a `Connection`; a use case is one transaction, made by `Database.read` or by `Writer`.
"""

"""The podrun service: takes workflow documents, runs their pods, keeps their status and logs.

Imports go one way, and `make lint` holds them to it: main → api | executor → runs → storage | pods | logs → domain | settings.
Nothing is opened at import: `app.main.create_app` composes everything from `app.settings.Settings`.
"""

"""Logs: collected from the pods to the last byte, stored once and in order, read by cursor.

`collector` turns one container's stream into blocks, `store` keeps large objects in a folder or bucket, `reader` serves
cursors. The index (which bytes are where) is kept by whoever implements `port.LogIndex`: `storage.logs`.
"""

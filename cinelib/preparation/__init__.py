"""Notebook 01: raw footage becomes captioned clips: sources -> shots -> takes -> selection -> clips.

Decoding runs in a child process (`isolation`, `decoding`): a file that crashes the decoder costs that file.
"""

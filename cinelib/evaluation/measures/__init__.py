"""What `cinelib score` can measure of one clip, a module a measure.

Each imports only what it computes with, because the modules that it imports are part of its identity.
"""

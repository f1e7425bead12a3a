"""The study's library: from archives of faces to evidence about networks, a room for each idea.

Imports point down this list only: reporting, attention, evidence, training, inference, model, sources, data,
runtime, and the leaves taxonomy, params_file, random_streams, messages, extras.
"""

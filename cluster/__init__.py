"""The shared model: configuration, states, wire shapes, errors. Imports nothing of ours; everyone imports it."""

"""Simulate a log, train on it, evaluate, export and recommend."""


def add_arguments(parser):
    pass


def run(arguments):
    pass

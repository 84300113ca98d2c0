"""
Configuration: one TOML file to plain values, or every problem in it at once.

    load, parse      file or text to Config
    show             the effective configuration, without secrets
    config_schema    JSON Schema of the file
    plan_of          what the canaries cost, find and prove
    cost_words       what they cost, in words
"""

from monitor.config.build import load, parse
from monitor.config.model import Config, cost_words, plan_of
from monitor.config.schema import config_schema
from monitor.config.show import show

__all__ = ["Config", "config_schema", "cost_words", "load", "parse", "plan_of", "show"]

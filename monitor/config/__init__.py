"""
Configuration: one TOML file to plain values, or every problem in it at once.

    load, parse      file or text to Config
    show             the effective configuration, without secrets
    config_schema    JSON Schema of the file
    cost_per_day     what the canaries cost
"""

from monitor.config.build import load, parse
from monitor.config.model import Config, cost_per_day
from monitor.config.schema import config_schema
from monitor.config.show import show

__all__ = ["Config", "config_schema", "cost_per_day", "load", "parse", "show"]

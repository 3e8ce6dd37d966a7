"""The long-running processes: each is one OS process with one configuration file, stopped by SIGTERM."""

from __future__ import annotations

from oracle.cli.options import Config


def node(config: Config) -> None:
    """Run a node: follow requests, run models, sign claims."""
    from oracle.config import load_config
    from oracle.pipeline.node import run_node

    run_node(load_config(config))


def watch(config: Config) -> None:
    """Run a watcher: execute deliveries again, prove lies wrong, slash who signed them."""
    from oracle.config import load_config
    from oracle.pipeline.watch import run_watch

    run_watch(load_config(config))


def api(config: Config) -> None:
    """Run the public HTTP API."""
    from oracle.api.app import run_api
    from oracle.config import load_config

    run_api(load_config(config))

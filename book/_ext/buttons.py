"""Buttons that lead to a repository, on every page, where `_config.yml` names one; none where it does not.

A repository on GitHub or GitLab gets a button to report a mistake, and notebooks a button to Binder; Colab opens
those on GitHub only.
"""

from urllib.parse import urlparse


def choose(app, config):
    options = config.html_theme_options
    host = urlparse(options.get("repository_url", "")).netloc
    options["use_repository_button"] = bool(host)
    options["use_issues_button"] = host in ("github.com", "gitlab.com")
    options["launch_buttons"] = (
        {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com"
            if host == "github.com"
            else "",
        }
        if host
        else {}
    )


def setup(app):
    app.connect("config-inited", choose)
    return {"parallel_read_safe": True}

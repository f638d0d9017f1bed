"""Installs what a package-lock.json names, for the checks that run programs of Node."""

import shutil
import subprocess
import sys


def install(folder):
    """Runs `npm ci` in `folder` when the lock file has changed since the last time; the folder of the packages."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not there: this needs Node 20 or later with npm")
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 20:
        sys.exit(f"Node is {version}: this needs 20 or later")
    packages = folder / "node_modules"
    # npm writes this one last.
    done = packages / ".package-lock.json"
    if not done.exists() or done.stat().st_mtime < (folder / "package-lock.json").stat().st_mtime:
        print(f"installing {folder.name} from npm", flush=True)
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(["npm", "ci", *options], cwd=folder, check=True)
    return packages

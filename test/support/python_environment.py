"""Makes a virtual environment with packages, unless it is there: `python_environment.py FOLDER "REQUIREMENT ..."`.

The system gives the lock back when its process ends, however it ends, so that nothing stale can stand in the way.
"""

import fcntl
import pathlib
import subprocess
import sys
import venv

folder, requirement = pathlib.Path(sys.argv[1]), sys.argv[2]
with open(f"{folder}.lock", "w", encoding="utf-8") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    made = folder / "made"
    if not made.exists() or made.read_text(encoding="utf-8") != requirement:
        venv.create(folder, clear=True, with_pip=True)
        pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
        install = [*pip, "install", "--retries", "1", "--only-binary", ":all:", *requirement.split()]
        if subprocess.run(install, check=False).returncode != 0:
            sys.exit(f"pip cannot install {requirement}")
        made.write_text(requirement, encoding="utf-8")

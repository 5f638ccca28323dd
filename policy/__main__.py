"""Entry point of the check (`python -m policy`) and of the policy pack (Pulumi runs this folder as a script)."""

import sys
from pathlib import Path

if __package__:
    from policy.check import main

    sys.exit(main(sys.argv[1:]))
else:
    # As a script's folder, `policy/` would be first on the path, and its modules would shadow those of libraries.
    folder = Path(__file__).resolve().parent
    sys.path[:] = [str(folder.parent), *(path for path in sys.path if Path(path).resolve() != folder)]
    from policy.pack import serve_pack

    serve_pack()

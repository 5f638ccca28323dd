"""`python -m policy` is the check over a preview's JSON; run by Pulumi, this folder is a policy pack."""

import sys
from pathlib import Path

if __package__:
    from policy.check import main

    sys.exit(main(sys.argv[1:]))
else:
    # Pulumi runs the folder as a script. Its files are a package's, and none of them is to be in a library's place.
    folder = Path(__file__).resolve().parent
    sys.path[:] = [str(folder.parent), *(place for place in sys.path if Path(place).resolve() != folder)]
    from policy.pack import serve

    serve()

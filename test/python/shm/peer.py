"""Runs each line of stdin, JSON of code, and answers with JSON of its last expression: `peer.py FOLDER`, of coload_shm."""

import ast
import json
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import coload_shm  # noqa: E402: it is found there

known = {"json": json, "shm": coload_shm}
names = dict(known)


def run(code):
    tree = ast.parse(code)
    last = tree.body.pop().value if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<peer>", "exec"), names)
    return last and eval(compile(ast.Expression(last), "<peer>", "eval"), names)


for line in sys.stdin:
    try:
        code = json.loads(line)
        if code is None:  # forgets all that it was told
            names.clear()
            names.update(known)
        answer = {"value": code and run(code)}
    except Exception as error:
        answer = {"raises": type(error).__name__, "says": str(error)}
    print(json.dumps(answer), flush=True)

/** The name of the module of Python that {@linkcode BOOTSTRAP} fills. */
export const BOOTSTRAP_MODULE = "_coload";
/** The file that tracebacks name for code that was given as text. */
const GIVEN = "<python>";

/**
 * What is done in Python itself, because it is shorter there: a module that every thread of the process shares.
 *
 * Frames of this module are left out of tracebacks: it is compiled under the name of `_coload`.
 */
export const BOOTSTRAP = String.raw`
import ast
import builtins
import collections
import importlib
import linecache
import operator
import os
import socket
import sys
import threading
import traceback

main = sys.modules["__main__"].__dict__
main.setdefault("__builtins__", builtins)
GIVEN = "${GIVEN}"

for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(line_buffering=True)  # as nothing flushes them when the process ends


def constants():
    return (None, True, False, float, TypeError, Exception)


set = set  # an attribute of this module, as the next
hasattr = hasattr
module = importlib.import_module


def flush():
    try:
        sys.stdout.flush()
    except Exception:
        pass  # it is closed, or somebody's own


def remember(code):
    """Has the traceback that is made next show the lines of this code."""
    linecache.cache[GIVEN] = (len(code), None, code.splitlines(True), GIVEN)


def execute(code):
    try:
        exec(compile(code, GIVEN, "exec", dont_inherit=True), main)
    except BaseException:
        remember(code)
        raise
    finally:
        flush()


def evaluate(code):
    try:
        return eval(compile(code.strip(), GIVEN, "eval", dont_inherit=True), main)
    except BaseException:
        remember(code)
        raise


def run(code):
    """Runs statements; the value is that of the last one where it is an expression."""
    tree = ast.parse(code, GIVEN)
    last = tree.body.pop().value if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    try:
        exec(compile(tree, GIVEN, "exec", dont_inherit=True), main)
        return last and eval(compile(ast.Expression(last), GIVEN, "eval", dont_inherit=True), main)
    finally:
        flush()


class Asker:
    """A thread of JavaScript that runs code on threads of Python, and is told over a socket when they are done."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=os.dup(fd))
        self.done = collections.deque()
        self.told = False

    def start(self, number, code):
        def work():
            try:
                outcome = (number, True, run(code))
            except BaseException as error:
                outcome = (number, False, (error, code))
            self.done.append(outcome)
            del outcome  # what it holds is the asker's alone
            self.tell()

        threading.Thread(target=work, name=f"coload-{number}", daemon=True).start()

    def tell(self):
        if not self.told:
            self.told = True
            try:
                self.socket.send(bytes(8), getattr(socket, "MSG_NOSIGNAL", 0))
            except OSError:
                pass  # the thread has ended

    def collect(self):
        self.told = False
        outcomes = []
        while self.done:
            outcomes.append(self.done.popleft())
        return outcomes


def describe(kind, error, trace, code=None):
    """What an exception is called, what it says, and what Python would print of it."""
    if code is not None:
        remember(code)
    while trace is not None and trace.tb_frame.f_globals.get("__name__") == __name__:
        trace = trace.tb_next
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        says = str(error)
    except Exception:
        says = "its message cannot be had"
    try:
        printed = "".join(traceback.format_exception(kind, error, trace))
    except Exception as problem:
        printed = f"{name}: {says} (its traceback cannot be had: {problem!r})"
    finally:
        linecache.cache.pop(GIVEN, None)
    return (name, clean(says), clean(printed))


def clean(text):
    return text.encode("utf-8", "replace").decode("utf-8")


def describe_outcome(failed):
    error, code = failed
    return describe(type(error), error, error.__traceback__, code)


def plain(value):
    """What a value that is nearly plain is in plain ones, and whether that stands for a set; or what it is called."""
    if isinstance(value, (set, frozenset)):
        return ("set", list(value))
    if isinstance(value, (bytearray, memoryview)):
        return ("", bytes(value))
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        item = value.item()  # a scalar of NumPy's or torch's
        if isinstance(item, (bool, int, float, str, bytes)):
            return ("", item)
    kind = type(value)
    return (kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}", None)


def interface(value):
    """What __array_interface__ says: address, read-only, type, shape, strides in bytes, and whose buffer it is."""
    told = value.__array_interface__
    if told.get("mask") is not None:
        raise TypeError("its elements are masked")
    data, dtype = told.get("data"), told["typestr"]
    if getattr(getattr(value, "dtype", None), "name", None) == "bfloat16":
        dtype = "bfloat16"  # of ml_dtypes, which NumPy takes for bytes
    shape, strides = tuple(map(operator.index, told["shape"])), told.get("strides")
    strides = None if strides is None else tuple(map(operator.index, strides))
    if isinstance(data, tuple):
        return (int(data[0]), bool(data[1]), dtype, shape, strides, None)
    return (int(told.get("offset", 0)), True, dtype, shape, strides, value if data is None else data)


def is_torch(value):
    return any(f"{kind.__module__}.{kind.__qualname__}" == "torch.Tensor" for kind in type(value).__mro__)


def bytes_of_booleans(value):
    """A tensor of torch's over the memory of one of booleans; or None."""
    use_torch()
    return value.view(torch.uint8) if value.dtype == torch.bool else None


class Memory:
    """A tensor of JavaScript's, which the loan keeps."""

    __slots__ = ("__array_interface__", "loan")


numpy = None


def use_numpy():
    global numpy
    import numpy


def array(loan, address, read_only, dtype, shape, strides):
    memory = Memory()
    memory.loan = loan
    typestr = "<u2" if dtype == "bfloat16" else dtype
    memory.__array_interface__ = {
        "version": 3,
        "data": (address, read_only),
        "typestr": typestr,
        "shape": shape,
        "strides": strides,
    }
    made = numpy.asarray(memory)
    return made if typestr is dtype else made.view(ml_dtypes.bfloat16)


ml_dtypes = None


def use_ml_dtypes():
    global ml_dtypes
    import ml_dtypes


torch = None


def use_torch():
    global torch
    import torch
    import torch.utils.dlpack


def tensor(capsule, are_booleans):
    made = torch.utils.dlpack.from_dlpack(capsule)
    return made.view(torch.bool) if are_booleans else made  # which older torch takes from nobody
`;

import { cstring } from "../../ffi/cstring.ts";
import type { Attempt } from "../../ffi/find_library.ts";
import { findPython, type FindPythonOptions, type FoundPython, whyNoPython } from "../../ffi/find_python.ts";
import { ffi } from "../../ffi/mod.ts";
import { knowPython, loanFunctions } from "../../ffi/process/loans.ts";
import { exclusively, processBlock } from "../../ffi/process/shared.ts";
import { openPythonLibrary, PY_FILE_INPUT, type PythonApi, pythonFunction } from "../../ffi/python.ts";
import { LibraryError, typeError } from "../errors.ts";
import { BOOTSTRAP, BOOTSTRAP_MODULE } from "./bootstrap.ts";

/** What the process's threads tell each other about its Python: +0 whether it runs (u32), +64 JSON, to a NUL. */
const SHARED_BYTES = 16384, TEXT_AT = 64, RUNS = 1;

/** The Python of this process. */
export interface RunningPython extends FoundPython {
  readonly api: PythonApi;
}

/**
 * Starts Python, or joins the one that runs in this process. A process has one Python, to its end.
 *
 * @throws {LibraryError} LIBRARY_NOT_FOUND with all that was tried; LIBRARY_INVALID
 * @throws {TypeError} ALREADY_CONFIGURED when another Python than the one that is asked for runs
 */
export function startPython(options: FindPythonOptions): RunningPython {
  const isAsked = options.executable !== undefined || options.library !== undefined;
  const running = runningPython();
  if (running !== undefined && !isAsked) return join(running);
  const wanted = locatePython(options);
  const started = exclusively(() => runningPython() === undefined ? initialize(wanted) : undefined);
  if (started !== undefined) return started;
  const other = runningPython()!; // joined outside of that: who has Python's lock may want to be exclusive
  if (isAsked) checkSame(wanted, other);
  return join(other);
}

/** Gives this thread a state of Python's that stays between its calls, so that what is kept per thread lasts. */
function join(running: FoundPython): RunningPython {
  const api = open(running.library);
  api.PyGILState_Ensure();
  api.PyEval_SaveThread();
  return { ...running, api };
}

function locatePython(options: FindPythonOptions): FoundPython {
  const search = findPython(options), { found, given } = search;
  if (found !== undefined) return found;
  throw new LibraryError(codeOf(given), whyNoPython(search));
}

function codeOf(given: Attempt | undefined): "LIBRARY_TOO_OLD" | "LIBRARY_NOT_FOUND" {
  return given?.reason.includes("or later wanted") ? "LIBRARY_TOO_OLD" : "LIBRARY_NOT_FOUND";
}

function shared(): { readonly state: Uint32Array; readonly text: Uint8Array } {
  const { pointer } = processBlock("python", SHARED_BYTES), buffer = ffi.view(pointer, SHARED_BYTES);
  return { state: new Uint32Array(buffer, 0, 1), text: new Uint8Array(buffer, TEXT_AT) };
}

function runningPython(): FoundPython | undefined {
  const { state, text } = shared();
  if (Atomics.load(state, 0) !== RUNS) return undefined;
  return JSON.parse(new TextDecoder().decode(text.slice(0, text.indexOf(0))));
}

function checkSame(wanted: FoundPython, running: FoundPython): void {
  if (wanted.executable === running.executable && wanted.library === running.library) return;
  const message = `Cannot start Python ${wanted.version} of ${wanted.executable}: Python ${running.version} of ` +
    `${running.executable} runs in this process already, which can have one`;
  throw typeError("ALREADY_CONFIGURED", message);
}

function open(library: string): PythonApi {
  try {
    return openPythonLibrary(library);
  } catch (cause) {
    const message = `Cannot load ${library} as Python: ${(cause as Error).message}`;
    throw new LibraryError("LIBRARY_INVALID", message, { cause });
  }
}

function initialize(found: FoundPython): RunningPython {
  const api = open(found.library), { executable, version } = found;
  const [linked] = ffi.string(api.Py_GetVersion()!).split(" ");
  if (linked !== version) {
    const message =
      `Cannot start Python: ${executable} is version ${version}, and its library ${found.library} ${linked}`;
    throw new LibraryError("LIBRARY_CONFLICT", message);
  }
  if (api.Py_IsInitialized() === 0) {
    api.Py_SetProgramName(api.Py_DecodeLocale(cstring(executable), null)); // which Python keeps
    api.Py_InitializeEx(0); // no handlers of signals: they are the runtime's
  } else api.PyGILState_Ensure(); // somebody else started it
  try {
    bootstrap(api);
  } finally {
    api.PyEval_SaveThread();
  }
  tellLoans();
  const { state, text } = shared();
  text.set(cstring(JSON.stringify(found)));
  Atomics.store(state, 0, RUNS);
  return { ...found, api };
}

function bootstrap(api: PythonApi): void {
  const globals = api.PyModule_GetDict(api.PyImport_AddModule(cstring(BOOTSTRAP_MODULE))!)!;
  const done = api.PyRun_StringFlags(cstring(BOOTSTRAP), PY_FILE_INPUT, globals, globals, null);
  if (done !== null) return api.Py_DecRef(done);
  api.PyErr_Clear();
  throw new LibraryError("LIBRARY_INVALID", "Cannot start Python: its standard library is not what it should be");
}

/** Has references be let go, and memory come back, when a thread of JavaScript has ended. */
function tellLoans(): void {
  try {
    loanFunctions();
  } catch {
    return; // the system forbids it, and memory is not lent
  }
  const [getPointer, ensure, release] = ["PyCapsule_GetPointer", "PyGILState_Ensure", "PyGILState_Release"] as const;
  knowPython({
    getPointer: pythonFunction(getPointer),
    ensure: pythonFunction(ensure),
    release: pythonFunction(release),
  });
}

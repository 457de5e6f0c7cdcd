/**
 * Python's C API, as far as it is the same from 3.9 on: by its C names.
 *
 * @module
 */
import { cstring } from "./cstring.ts";
import { libc } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";

const SIGNATURES = {
  PyBuffer_Release: { parameters: ["pointer"], result: "void" }, // (Py_buffer *view)
  PyBytes_AsString: { parameters: ["pointer"], result: "pointer" }, // char *(PyObject *bytes)
  PyBytes_FromStringAndSize: { parameters: ["buffer", "i64"], result: "pointer" }, // (const char *, Py_ssize_t length)
  PyBytes_Size: { parameters: ["pointer"], result: "i64" }, // (PyObject *bytes)
  PyCapsule_GetPointer: { parameters: ["pointer", "pointer"], result: "pointer" }, // void *(PyObject *capsule, const char *name)
  PyCapsule_IsValid: { parameters: ["pointer", "pointer"], result: "i32" }, // (PyObject *capsule, const char *name)
  PyCapsule_New: { parameters: ["pointer", "pointer", "pointer"], result: "pointer" }, // (void *, const char *name, void (*destructor)(PyObject *))
  PyCapsule_SetName: { parameters: ["pointer", "pointer"], result: "i32" }, // (PyObject *capsule, const char *name)
  PyDict_Items: { parameters: ["pointer"], result: "pointer" }, // (PyObject *dict)
  PyDict_New: { parameters: [], result: "pointer" }, // (void)
  PyDict_SetItem: { parameters: ["pointer", "pointer", "pointer"], result: "i32" }, // (PyObject *dict, PyObject *key, PyObject *value)
  PyErr_Clear: { parameters: [], result: "void" }, // (void)
  PyErr_ExceptionMatches: { parameters: ["pointer"], result: "i32" }, // (PyObject *type)
  PyErr_Fetch: { parameters: ["pointer", "pointer", "pointer"], result: "void" }, // (PyObject **type, PyObject **value, PyObject **traceback)
  PyErr_NormalizeException: { parameters: ["pointer", "pointer", "pointer"], result: "void" }, // (PyObject **type, PyObject **value, PyObject **traceback)
  PyErr_Occurred: { parameters: [], result: "pointer" }, // borrowed (void)
  PyErr_Restore: { parameters: ["pointer", "pointer", "pointer"], result: "void" }, // (PyObject *stolen type, PyObject *stolen value, PyObject *stolen traceback)
  PyEval_SaveThread: { parameters: [], result: "pointer" }, // PyThreadState *(void)
  PyFloat_AsDouble: { parameters: ["pointer"], result: "f64" }, // (PyObject *)
  PyFloat_FromDouble: { parameters: ["f64"], result: "pointer" }, // (double)
  PyGILState_Ensure: { parameters: [], result: "i32" }, // PyGILState_STATE (void)
  PyGILState_Release: { parameters: ["i32"], result: "void" }, // (PyGILState_STATE)
  PyImport_AddModule: { parameters: ["buffer"], result: "pointer" }, // borrowed (const char *name)
  PyImport_ImportModule: { parameters: ["buffer"], result: "pointer" }, // (const char *name)
  PyIter_Next: { parameters: ["pointer"], result: "pointer" }, // (PyObject *iterator)
  PyList_GetItem: { parameters: ["pointer", "i64"], result: "pointer" }, // borrowed (PyObject *list, Py_ssize_t)
  PyList_New: { parameters: ["i64"], result: "pointer" }, // (Py_ssize_t length)
  PyList_SetItem: { parameters: ["pointer", "i64", "pointer"], result: "i32" }, // (PyObject *list, Py_ssize_t, PyObject *stolen)
  PyList_Size: { parameters: ["pointer"], result: "i64" }, // (PyObject *list)
  PyLong_AsLongLongAndOverflow: { parameters: ["pointer", "pointer"], result: "i64" }, // (PyObject *, int *overflow)
  PyLong_AsUnsignedLongLong: { parameters: ["pointer"], result: "u64" }, // unsigned long long (PyObject *)
  PyLong_FromLongLong: { parameters: ["i64"], result: "pointer" }, // (long long)
  PyLong_FromString: { parameters: ["buffer", "pointer", "i32"], result: "pointer" }, // (const char *, char **end, int base)
  PyLong_FromUnsignedLongLong: { parameters: ["u64"], result: "pointer" }, // (unsigned long long)
  PyModule_GetDict: { parameters: ["pointer"], result: "pointer" }, // borrowed (PyObject *module)
  PyObject_Call: { parameters: ["pointer", "pointer", "pointer"], result: "pointer" }, // (PyObject *callable, PyObject *tuple, PyObject *dict)
  PyObject_GetAttrString: { parameters: ["pointer", "buffer"], result: "pointer" }, // (PyObject *, const char *name)
  PyObject_GetBuffer: { parameters: ["pointer", "pointer", "i32"], result: "i32" }, // (PyObject *, Py_buffer *view, int flags)
  PyObject_GetItem: { parameters: ["pointer", "pointer"], result: "pointer" }, // (PyObject *, PyObject *key)
  PyObject_GetIter: { parameters: ["pointer"], result: "pointer" }, // (PyObject *)
  PyObject_IsInstance: { parameters: ["pointer", "pointer"], result: "i32" }, // (PyObject *, PyObject *type)
  PyObject_SetAttrString: { parameters: ["pointer", "buffer", "pointer"], result: "i32" }, // (PyObject *, const char *name, PyObject *value)
  PyObject_Str: { parameters: ["pointer"], result: "pointer" }, // (PyObject *)
  PyObject_Type: { parameters: ["pointer"], result: "pointer" }, // (PyObject *)
  PyObject_VectorcallMethod: { parameters: ["pointer", "pointer", "usize", "pointer"], result: "pointer" }, // (PyObject *name, PyObject *const *arguments, size_t count, PyObject *names)
  PyRun_StringFlags: { parameters: ["buffer", "i32", "pointer", "pointer", "pointer"], result: "pointer" }, // (const char *code, int start, PyObject *globals, PyObject *locals, PyCompilerFlags *)
  PyTuple_GetItem: { parameters: ["pointer", "i64"], result: "pointer" }, // borrowed (PyObject *tuple, Py_ssize_t)
  PyTuple_New: { parameters: ["i64"], result: "pointer" }, // (Py_ssize_t length)
  PyTuple_SetItem: { parameters: ["pointer", "i64", "pointer"], result: "i32" }, // (PyObject *tuple, Py_ssize_t, PyObject *stolen)
  PyTuple_Size: { parameters: ["pointer"], result: "i64" }, // (PyObject *tuple)
  PyType_GetFlags: { parameters: ["pointer"], result: "u64" }, // unsigned long (PyTypeObject *)
  PyUnicode_AsUTF8AndSize: { parameters: ["pointer", "pointer"], result: "pointer" }, // const char *(PyObject *, Py_ssize_t *length)
  PyUnicode_DecodeUTF8: { parameters: ["buffer", "i64", "pointer"], result: "pointer" }, // (const char *, Py_ssize_t length, const char *errors)
  PyUnicode_InternFromString: { parameters: ["buffer"], result: "pointer" }, // (const char *)
  Py_DecRef: { parameters: ["pointer"], result: "void" }, // (PyObject *)
  Py_DecodeLocale: { parameters: ["buffer", "pointer"], result: "pointer" }, // wchar_t *(const char *, size_t *length)
  Py_GetVersion: { parameters: [], result: "pointer" }, // const char *(void)
  Py_IncRef: { parameters: ["pointer"], result: "void" }, // (PyObject *)
  Py_InitializeEx: { parameters: ["i32"], result: "void" }, // (int handlesSignals)
  Py_IsInitialized: { parameters: [], result: "i32" }, // (void)
  Py_SetProgramName: { parameters: ["pointer"], result: "void" }, // (const wchar_t *kept)
} as const;

/** The C API, by its C names. */
export type PythonApi = Symbols<typeof SIGNATURES>;

/** Bits of `PyType_GetFlags`. */
export const TYPE_FLAG = {
  int: 1n << 24n,
  list: 1n << 25n,
  tuple: 1n << 26n,
  bytes: 1n << 27n,
  str: 1n << 28n,
  dict: 1n << 29n,
} as const;
/** `start` of `PyRun_StringFlags`: a file, and not an expression. */
export const PY_FILE_INPUT = 257;
/** `flags` of `PyObject_GetBuffer`: of bytes, to be read. */
export const PYBUF_SIMPLE = 0;
/** Bytes of a `Py_buffer`, which begins with the memory's address; +16 its length. */
export const PY_BUFFER_BYTES = 80;

const RTLD_NOW = 2, RTLD_GLOBAL = 0x100, RTLD_NODELETE = 0x1000;

/**
 * Opens libpython for all to see, as Python's own extensions are linked to no library and look for its symbols in the
 * process. It is never closed. Needs no Python that runs.
 *
 * @throws {Error} in the loader's words
 */
export function openPythonLibrary(path: string): PythonApi {
  if (libc().dlopen(cstring(path), RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE) === null) {
    throw new Error(ffi.string(libc().dlerror()!));
  }
  return ffi.open(path, SIGNATURES);
}

/** The address of one of its functions. */
export function pythonFunction(name: keyof PythonApi): bigint {
  return ffi.address(libc().dlsym(null, cstring(name)));
}

"""Coload's tensors in shared memory, for a process of Python: needs no package; NumPy is used where it is.

    import coload_shm

    with coload_shm.open(ref) as tensor:  # what `tensor.ref` is in TypeScript, its JSON, or its word
        tensor.numpy()[0] = 1  # the same memory
    made = coload_shm.create("float32", (2, 3))  # or share(array), which copies once
    print(made.ref)  # for `Tensor.open` in TypeScript, as long as somebody holds it
    coload_shm.sweep()  # what dead processes left behind

A tensor is held until it and all its arrays and views are gone, or it is closed and they are. Nothing is unlinked that
this process does not own, but what nobody uses any more. Python 3.9 and later, on 64-bit Linux, with libatomic. This
file is all there is: copy it. It does what REGION.md says, whose sections it names.
"""

import atexit, collections, contextlib, ctypes, fcntl, json, math, os, re, secrets, stat, struct, sys, threading, time
from io import open as _open_text

__all__ = ["Region", "RegionFull", "StaleReference", "Tensor", "create", "format_ref", "open", "share", "sweep"]

PAGE, HEADER_BYTES, SLOTS, MAX_BLOCKS, ENTRY = 4096, 128, 63, 2**20, 64
SLOTS_AT, BLOCKS_AT, STATE, MADE, RETURNED, OPEN, CLOSED = 4096, 8192, 128, 132, 192, 0, 1
GENERATION, NEXT, BYTE_OFFSET, DEADLINE = 8, 12, 16, 32
TRANSIT, ALL, HANDED_OFF, LARGEST = 1 << 63, 2**64 - 1, 1 << 52, 2**53
GET_LOCK, SET_LOCK, ADD_SEALS, GET_SEALS, SEALS = 36, 37, 1033, 1034, 1 | 2 | 4
FLOCK, HEADER, SHM = "hh4xqqi4x", "<8sIIQQQII16s", "/dev/shm"
NAMED, MEMFD = r"coload-[0-9a-f]{32}", r"memfd-(\d{1,10})-(\d{1,10})-(\d{1,15})-(\d{1,10})-([0-9a-f]{32})"
_BLOCK = struct.Struct("<IIQQ")  # of a block: its generation, what comes next, where it starts, its length
#: The format and the size of each dtype's elements; bfloat16 is seen as its bits.
DTYPES = {
    "float32": ("f", 4), "float64": ("d", 8), "float16": ("e", 2), "bfloat16": ("H", 2), "bool": ("?", 1),
    "int8": ("b", 1), "int16": ("h", 2), "int32": ("i", 4), "int64": ("q", 8),
    "uint8": ("B", 1), "uint16": ("H", 2), "uint32": ("I", 4), "uint64": ("Q", 8),
}  # fmt: skip


class StaleReference(ReferenceError):
    """The memory was freed, or is used for something else."""


class RegionFull(RuntimeError):
    """62 others take part already."""


def _require(condition, otherwise, error=ValueError):
    if not condition:
        raise error(otherwise)


def _pages(byte_length):
    return -(-byte_length // PAGE) * PAGE


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_lock, _regions, _dropped, _sent = threading.Lock(), {}, collections.deque(), set()


def _find_atomics():
    """Section "Atomic steps": functions that take an address, values, and 5 for the order."""
    try:
        library = ctypes.CDLL("libatomic.so.1")
    except OSError as error:
        raise ImportError(f"coload_shm needs libatomic (Debian: apt-get install libatomic1): {error}") from error
    _require(library["__atomic_is_lock_free"](ctypes.c_size_t(8), None) & 1, "atomics take locks here", ImportError)
    found = {}
    for size, kind in ((4, ctypes.c_uint32), (8, ctypes.c_uint64)):
        for verb in ("load", "store", "exchange", "fetch_or", "fetch_and", "fetch_add"):
            function = found[f"{verb}_{size}"] = library[f"__atomic_{verb}_{size}"]
            values = [] if verb == "load" else [kind]
            function.restype, function.argtypes = kind, [ctypes.c_void_p, *values, ctypes.c_int]
    swap = found["swap"] = library["__atomic_compare_exchange_8"]
    swap.restype = ctypes.c_bool
    swap.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_int]
    return found


_ATOMICS = _find_atomics()
_load_8, _swap_8 = _ATOMICS["load_8"], _ATOMICS["swap"]


def _try_lock(fd, start, length=1, kind=fcntl.F_WRLCK):
    """Section "Locks"."""
    try:
        fcntl.fcntl(fd, SET_LOCK, struct.pack(FLOCK, kind, os.SEEK_SET, start, length, 0))
        return True
    except (BlockingIOError, PermissionError):
        return False


def _start_time(pid):
    with _open_text(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def _namespace():
    return int(re.fullmatch(r"pid:\[(\d+)\]", os.readlink("/proc/self/ns/pid"))[1])


def _open_file(name):
    """Section "Opening a region", steps 1 and 2."""
    if re.fullmatch(NAMED, name):
        return os.open(f"{SHM}/{name}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = re.fullmatch(MEMFD, name)
    _require(found, f"no region is called {name!r}")
    namespace, pid, started, fd = map(int, found.groups()[:4])
    _require(namespace == _namespace(), f"region {name} is in another pid namespace", PermissionError)
    _require(_start_time(pid) == started, f"the owner of region {name} is gone", StaleReference)
    return os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)


def _check_file(fd, name):
    """Steps 3 and 4: the file's size, where the data starts, its bytes as asked for, and how many blocks there can be."""
    status, is_memfd, what = os.fstat(fd), name.startswith("memfd-"), f"region {name}: "
    _require(stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid(), what + "no file of this user", PermissionError)
    _require(is_memfd or status.st_mode & 0o077 == 0, what + "other users may reach it", PermissionError)
    _require(not is_memfd or fcntl.fcntl(fd, GET_SEALS) & SEALS == SEALS, what + "its size is not sealed")
    copy = os.pread(fd, HEADER_BYTES, 0)
    _require(len(copy) == HEADER_BYTES, what + "it is too short")
    magic, version, header, size, offset, data, slots, capacity, region_id = struct.unpack_from(HEADER, copy)
    known = magic == b"COLOADSM" and (version, header, slots) == (1, HEADER_BYTES, SLOTS)
    _require(known and capacity <= MAX_BLOCKS, what + "it is no region of version 1")
    _require(size == status.st_size and offset == BLOCKS_AT + _pages(ENTRY * capacity), what + "its sizes are wrong")
    _require(data <= size - offset, what + "its data leads out of it")
    _require(not is_memfd or name.endswith(region_id.hex()), what + "its descriptor is another region's", StaleReference)
    return size, offset, data, capacity


class Region:
    """A region that this process takes part in: by a name, or as the owner of a new one."""

    def __init__(self, fd, name, size, data_offset, data_bytes, capacity, mapped=None):
        self.fd, self.name, self.size, self.data_offset, self.capacity = fd, name, size, data_offset, capacity
        self.data_bytes, self.slot, self.holds, self._mapped = data_bytes, None, {}, mapped or size
        self.bytes_type = ctypes.c_char * size
        os.posix_fallocate(fd, 0, data_offset)  # of tables with holes, a touch may be a SIGBUS
        self.address = _libc.mmap(None, self._mapped, 3, 1, fd, 0)
        if self.address == ctypes.c_void_p(-1).value:
            self.address = None
            raise OSError(ctypes.get_errno(), f"cannot map region {name}")

    @classmethod
    def open(cls, name):
        """Joins a region, once for the process. Raises StaleReference where it is gone, RegionFull, PermissionError, ValueError."""
        with _Exclusively():
            return cls._find(name)

    @classmethod
    def _find(cls, name):
        """The same, with the lock."""
        _collect()
        found = _regions.get(name)
        if found is None:
            for region in list(_regions.values()):
                if not region.holds and (region._is_idle() or region._is_abandoned()):
                    region._close()
            found = _regions[name] = cls._join(name)
        return found

    @classmethod
    def _join(cls, name):
        try:
            fd = _open_file(name)
        except FileNotFoundError as error:
            raise StaleReference(f"region {name} is gone") from error
        region = None
        try:
            region = cls(fd, name, *_check_file(fd, name))
            is_whole = os.fstat(fd).st_blocks * 512 >= region.size
            _require(is_whole or region._at("load_4", STATE) != OPEN, f"region {name}: its file has holes")
            region._take_slot()
            return region
        except BaseException:
            if region is not None:
                region._unmap()
            os.close(fd)
            raise

    @classmethod
    def create(cls, byte_length, backend="named"):
        """Makes a region with room for one block. Sections "Making a region" and "Making a block"."""
        _require(backend in ("named", "memfd"), f'"named" or "memfd" wanted as backend, {backend!r} found')
        region_id, data_offset = secrets.token_bytes(16), BLOCKS_AT + _pages(ENTRY)
        size, name = data_offset + max(PAGE, _pages(byte_length)), f"coload-{region_id.hex()}"
        if backend == "named":
            fd = os.open(SHM, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        else:
            fd = _memfd(name)
        region = None
        try:
            os.posix_fallocate(fd, 0, size)
            if backend == "memfd":
                fcntl.fcntl(fd, ADD_SEALS, SEALS)
                name = f"memfd-{_namespace()}-{os.getpid()}-{_start_time(os.getpid())}-{fd}-{region_id.hex()}"
            region = cls(fd, name, size, data_offset, byte_length, 1)
            region.slot = 0
            _require(_try_lock(fd, 0), "a new region is locked", OSError)
            region._enter()
            header = struct.pack(HEADER, b"COLOADSM", 1, HEADER_BYTES, size, data_offset, byte_length, SLOTS, 1, region_id)
            region._write(0, header)
            if backend == "named":  # with a src_dir_fd, which means nothing here, Python calls linkat and not link
                os.link(f"/proc/self/fd/{fd}", f"{SHM}/{name}", src_dir_fd=fd, follow_symlinks=True)
        except BaseException:
            if region is not None:
                region._unmap()
            os.close(fd)
            raise
        region._at("store_4", MADE, 1)
        region._write(BLOCKS_AT + BYTE_OFFSET, struct.pack("<QQQ", data_offset, max(1, -(-byte_length // 64)) * 64, 0))
        region._at("fetch_add_4", BLOCKS_AT + GENERATION, 1)
        region._at("store_8", BLOCKS_AT, 1)
        region.holds[0] = 1
        with _Exclusively():
            _regions[name] = region
        return region

    @property
    def data(self):
        """The bytes of a region that is one piece: a memoryview, which keeps it from being closed."""
        return _view(_Hold(self, None), self.data_offset, self.data_bytes)

    def _at(self, function, at, *values):
        return _ATOMICS[function](self.address + at, *values, 5)

    def _swap(self, at, expected, wanted):
        """Compare-and-swap of 8 bytes: whether it was done, and what was found."""
        found = ctypes.c_uint64(expected)
        return _swap_8(self.address + at, ctypes.addressof(found), wanted, 5, 5), found.value

    def _write(self, at, written):
        ctypes.memmove(self.address + at, written, len(written))

    def _read(self, form, at):
        return struct.unpack(form, ctypes.string_at(self.address + at, struct.calcsize(form)))

    def _take_slot(self):
        """Section "Opening a region", steps 6 to 9."""
        end = time.monotonic() + 2
        while self.slot is None:
            self.slot = next((slot for slot in range(1, SLOTS) if _try_lock(self.fd, slot)), None)
            if self.slot is None:
                taken = all(self._at("load_4", SLOTS_AT + ENTRY * slot) for slot in range(1, SLOTS))
                _require(not taken and time.monotonic() < end, f"region {self.name} is full", RegionFull)
                time.sleep(0.001)  # somebody cleans up
        if self.name.startswith("coload-") and os.fstat(self.fd).st_nlink == 0:
            raise StaleReference(f"region {self.name} is gone")
        if self._at("load_4", SLOTS_AT + ENTRY * self.slot) == 1:
            self._let_go_all(self.slot)
        self._enter()

    def _enter(self):
        at, pid = SLOTS_AT + ENTRY * self.slot, os.getpid()
        self._write(at + 4, struct.pack("<iQQi", pid, _start_time(pid), _namespace(), self.fd))
        self._at("store_4", at, 1)

    def _holders(self, block):
        return _load_8(self.address + BLOCKS_AT + ENTRY * block, 5)

    def _held_blocks(self):
        made = min(self._at("load_4", MADE), self.capacity)
        return [block for block in range(made) if self._holders(block) != 0]

    def _is_abandoned(self):
        if self.slot == 0 or self._at("load_4", STATE) == CLOSED:
            return self._at("load_4", STATE) == CLOSED
        answered = fcntl.fcntl(self.fd, GET_LOCK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
        return struct.unpack(FLOCK, answered)[0] == fcntl.F_UNLCK

    def _take(self, block, generation, start, end):
        """Section "Holding and letting go". With the lock."""
        at, bit = BLOCKS_AT + ENTRY * block, 1 << self.slot
        if self.holds.get(block, 0) == 0:
            is_done, found = False, self._holders(block)
            while not is_done:
                _require(found != 0, "the memory was freed", StaleReference)
                is_done, found = self._swap(at, found, found | bit)
        self.holds[block] = self.holds.get(block, 0) + 1
        now, _, first, length = _BLOCK.unpack(ctypes.string_at(self.address + at + GENERATION, _BLOCK.size))
        if now == generation and first <= start and end <= first + length:
            return
        self._release(block)
        _require(now == generation, "the memory is used for something else", StaleReference)
        raise ValueError(f"bytes {start} to {end} do not lie in their block, from {first} to {first + length}")

    def _receive(self, block):
        at = BLOCKS_AT + ENTRY * block
        deadline = self._at("load_8", at + DEADLINE)
        self._at("fetch_and_8", at, ALL ^ TRANSIT)
        self._swap(at + DEADLINE, deadline, 0)

    def _send(self, block, ttl_ms):
        """Section "Handing off", but for letting go."""
        at, now = BLOCKS_AT + ENTRY * block, int(time.time() * 1000)
        self._end_transit(block, now)
        is_done, _ = self._swap(at + DEADLINE, 0, now + int(ttl_ms))
        _require(is_done, "another reference to it is on its way", RuntimeError)
        self._at("fetch_or_8", at, TRANSIT)

    def _release(self, block):
        """Ends one use. With the lock."""
        self.holds[block] -= 1
        if self.holds[block] > 0:
            return
        del self.holds[block]
        if block is not None:
            self._let_go(block, self.slot)
        if not self.holds and self._is_idle():
            self._close()

    def _is_idle(self):
        """Whether there is no reason to stay: its owner has closed it, or it was a tensor of this process's own."""
        if self.capacity == 0 or not (self.slot == 0 or self._at("load_4", STATE) == CLOSED):
            return False
        if self.slot == 0 and self.name.startswith("memfd-") and self._is_on_its_way(0):
            _sent.add(self.name)  # a memfd is opened through its owner
            return False
        _sent.discard(self.name)
        return True

    def _is_on_its_way(self, block):
        at = BLOCKS_AT + ENTRY * block
        return bool(self._holders(block) & TRANSIT) and self._at("load_8", at + DEADLINE) > time.time() * 1000

    def _let_go(self, block, slot):
        if self._at("fetch_and_8", BLOCKS_AT + ENTRY * block, ALL ^ 1 << slot) == 1 << slot:
            self._free(block)

    def _let_go_all(self, slot):
        for block in self._held_blocks():
            self._let_go(block, slot)

    def _free(self, block):
        """Section "Giving back"."""
        if self._is_abandoned():
            self._at("store_4", STATE, CLOSED)
            start, length = self._read("<QQ", BLOCKS_AT + ENTRY * block + BYTE_OFFSET)
            self._punch(max(start, self.data_offset), min(start + length, self.size))
        elif self.slot != 0:
            is_done, top = False, self._at("load_8", RETURNED)
            while not is_done:
                self._write(BLOCKS_AT + ENTRY * block + NEXT, struct.pack("<I", top & 0xFFFFFFFF))
                is_done, top = self._swap(RETURNED, top, ((top >> 32) + 1 & 0xFFFFFFFF) << 32 | block + 1)

    def _punch(self, start, end):
        start, end = _pages(start), end // PAGE * PAGE
        if start < end:
            _libc.fallocate(self.fd, 1 | 2, start, end - start)

    def _end_transit(self, block, now):
        """What is on its way too long: the end of section "Handing off"."""
        at = BLOCKS_AT + ENTRY * block
        deadline = self._at("load_8", at + DEADLINE)
        if deadline == 0 or deadline > now or not self._swap(at + DEADLINE, deadline, 1)[0]:
            return
        if self._at("fetch_and_8", at, ALL ^ TRANSIT) == TRANSIT:
            self._free(block)
        self._swap(at + DEADLINE, 1, 0)

    def _close_state(self):
        """Sets state to CLOSED; who does so first gives back the memory of all that is not held."""
        if self._at("exchange_4", STATE, CLOSED) == OPEN and self.capacity > 0:
            edge = self.data_offset
            extents = sorted(self._read("<QQ", BLOCKS_AT + ENTRY * block + BYTE_OFFSET) for block in self._held_blocks())
            for start, length in extents:
                self._punch(edge, min(start, self.size))
                edge = max(edge, start + length)
            self._punch(edge, self.size)

    def close(self):
        """Leaves it, as section "Closing" says. Raises BufferError while it is in use. Harmless when repeated."""
        with _Exclusively():
            _collect()
            _require(not self.holds, f"region {self.name} is in use", BufferError)
            self._close()

    def _close(self):
        if self.address is not None:
            self._leave()
            self._unmap()
            os.close(self.fd)

    def _leave(self):
        for block in filter(None.__ne__, self.holds):
            self._let_go(block, self.slot)
        if self.slot == 0:
            self._close_state()
        self._at("store_4", SLOTS_AT + ENTRY * self.slot, 0)
        _try_lock(self.fd, self.slot, kind=fcntl.F_UNLCK)
        if self.name.startswith("coload-") and self._is_of_no_use():
            _unlink(self.name)
        _regions.pop(self.name, None)

    def _is_of_no_use(self):
        if _try_lock(self.fd, 0, SLOTS):
            return self._tidy()
        return self.capacity > 0 and self._is_abandoned() and not self._held_blocks()

    def _tidy(self):
        """What who holds the lock of all slots does, and whether nothing is left. Section "Sweeping"."""
        if os.fstat(self.fd).st_nlink == 0:
            return False
        now = int(time.time() * 1000)
        for block in self._held_blocks():
            self._end_transit(block, now)
        if not any(self._is_on_its_way(block) for block in self._held_blocks()):
            return True
        for block in self._held_blocks():
            self._at("fetch_and_8", BLOCKS_AT + ENTRY * block, TRANSIT)
        for slot in range(SLOTS):
            self._at("store_4", SLOTS_AT + ENTRY * slot, 0)
        self._close_state()
        return False

    def _unmap(self):
        if self.address is not None:
            _libc.munmap(self.address, self._mapped)
            self.address = None


def _memfd(name):
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | 8)  # MFD_NOEXEC_SEAL
    except OSError:
        return os.memfd_create(name, flags)  # an older kernel, which does not know it


def _unlink(name):
    with contextlib.suppress(FileNotFoundError):  # another one was faster
        os.unlink(f"{SHM}/{name}")


class _Hold:
    """One use of a block, which arrays and views keep; of a region in one piece without one."""

    __slots__ = ("region", "block")

    def __init__(self, region, block):
        self.region, self.block = region, block
        if block is None:
            with _Exclusively():
                region.holds[None] = region.holds.get(None, 0) + 1

    def __del__(self):
        _dropped.append((self.region, self.block))
        _collect_dropped()


class _Exclusively:
    """Has the lock; what others dropped meanwhile is let go afterwards."""

    __slots__ = ("lock",)

    def __enter__(self):
        self.lock = _lock  # which is another one after a fork
        self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()
        _collect_dropped()


def _collect_dropped():
    """Never waits: the collector may call this in the middle of anything. Who has the lock does it then."""
    lock = _lock
    while _dropped and lock.acquire(blocking=False):
        try:
            _collect()
        finally:
            lock.release()


def _collect():
    """Lets go of what was dropped. With the lock."""
    while _dropped:
        region, block = _dropped.popleft()
        if region.address is not None:
            region._release(block)
    for region in list(_regions.values()) if _sent else ():
        if region.name in _sent and not region.holds and region._is_idle():
            region._close()


def _memory(hold):
    """All of a region's bytes, as what has a buffer and keeps a hold."""
    memory = hold.region.bytes_type.from_address(hold.region.address)
    memory.hold = hold
    return memory


def _view(hold, start, byte_length):
    return memoryview(_memory(hold)).cast("B")[start : start + byte_length]


_numpy_module, _numpy_types = None, {}


def _numpy():
    global _numpy_module
    if _numpy_module is None:
        import numpy

        _numpy_types.update((name, numpy.dtype(form)) for name, (form, _) in DTYPES.items())
        _numpy_module = numpy
    return _numpy_module


class Tensor:
    """A tensor in shared memory: what `open`, `create` and `share` give."""

    def __init__(self, hold, generation, start, byte_length, dtype, shape, strides, read_only):
        self._hold, self._generation, self._start, self._bytes = hold, generation, start, byte_length
        self.dtype, self.shape, self.strides, self.read_only = dtype, shape, strides, read_only

    def _held(self):
        if self._hold is None:
            raise ReferenceError("the tensor is closed")
        return self._hold

    def numpy(self):
        """An array of NumPy's over the memory, which it keeps. bfloat16 is an array of uint16."""
        hold, size = self._held(), DTYPES[self.dtype][1]
        strides = None if self.strides is None else tuple(stride * size for stride in self.strides)
        array = _numpy().ndarray(self.shape, _numpy_types[self.dtype], _memory(hold), self._start, strides)
        if self.read_only:
            array.flags.writeable = False
        return array

    def memoryview(self):
        """The elements as a memoryview of their shape, which keeps the memory; needs no NumPy. Not of strided ones.

        bfloat16 is seen as its bits, and so is float16 before Python 3.12.
        """
        _require(self.strides is None, "a memoryview of a strided tensor cannot be had; numpy() can", BufferError)
        hold = self._held()
        view = _view(hold, self._start, self._bytes)
        if self.read_only:
            view = view.toreadonly()
        form = DTYPES[self.dtype][0]
        if form == "e" and sys.version_info < (3, 12):
            form = "H"
        return view.cast(form, self.shape) if self._bytes and self.shape else view.cast(form)

    @property
    def ref(self):
        """What others open it by: `Tensor.open` in TypeScript, and `open` here. It keeps nothing alive."""
        return self._ref(0)

    def _ref(self, flags):
        hold = self._held()
        told = {
            "v": 1,
            "region": hold.region.name,
            "generation": hold.block * 2**32 + self._generation + flags,
            "byteOffset": self._start,
            "byteLength": self._bytes,
            "dtype": self.dtype,
            "shape": list(self.shape),
        }
        return told if self.strides is None else {**told, "strides": list(self.strides)}

    def hand_off(self, ttl_ms=30_000):
        """Moves this hold into a reference: the memory stays until that is opened, or its time is over. Closes it."""
        hold, ref = self._held(), self._ref(HANDED_OFF)
        hold.region._send(hold.block, ttl_ms)
        del hold
        self.close()
        return ref

    def close(self):
        """Lets it go; the memory stays while arrays and views of it do. Harmless when repeated."""
        self._hold = None
        lock = _lock
        if _sent and lock.acquire(blocking=False):
            try:
                _collect()
            finally:
                lock.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"Tensor({self.dtype}, {list(self.shape)}, {'closed' if self._hold is None else 'shared'})"


def _parse(text):
    if text.startswith("{"):
        return json.loads(text)
    prefix, *fields = text.split(",")
    _require(prefix == "coload-tensor" and len(fields) in (7, 8), f"the text {text[:80]!r} is no reference")
    v, region, generation, byte_offset, byte_length, dtype, *lists = fields
    _require(all(re.fullmatch(r"(\d{1,20}(x\d{1,20})*)?", each) for each in lists), "its lists are no numbers")
    shape, *strides = ([int(number) for number in each.split("x") if number] for each in lists)
    names = ("v", "generation", "byteOffset", "byteLength")
    told = dict(zip(names, map(int, (v, generation, byte_offset, byte_length))), region=region, dtype=dtype, shape=shape)
    return {**told, "strides": strides[0]} if strides else told


def _check_strides(shape, strides, size, byte_length):
    _require(len(strides) == len(shape), f"{len(shape)} strides wanted, {len(strides)} found")
    last = sum((length - 1) * stride for length, stride in zip(shape, strides))
    _require(0 in shape or (last + 1) * size <= byte_length, "its strides lead out of its bytes")
    return strides


def open(ref, read_only=False):
    """Opens a reference: a dict, its JSON, or its word. Raises StaleReference where the memory is gone, and ValueError."""
    ref = _parse(ref) if isinstance(ref, str) else ref
    names = ("v", "region", "generation", "byteOffset", "byteLength", "dtype", "shape")
    _require(isinstance(ref, dict) and all(name in ref for name in names), "it is no reference: a field is missing")
    _require(isinstance(ref["shape"], (list, tuple)), "it is no reference: its shape is no list")
    name, dtype, shape, strides = ref["region"], ref["dtype"], tuple(ref["shape"]), ref.get("strides")
    generation, start, byte_length = ref["generation"], ref["byteOffset"], ref["byteLength"]
    for number in (generation, start, byte_length, *shape, *(strides or ())):
        if type(number) is not int or not 0 <= number < LARGEST:
            raise ValueError(f"{number!r} is no number from 0 to 2^53 - 1")
    # No `_require` from here on: it has its message made each time, which would take a third of the whole.
    if ref["v"] != 1 or not isinstance(name, str):
        raise ValueError("it is no reference of version 1")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"no dtype of shared memory is called {dtype!r}")
    size, count = DTYPES[dtype][1], math.prod(shape)
    if start % size or byte_length % size:
        raise ValueError(f"whole elements of {size} bytes wanted")
    if strides is not None:
        strides = _check_strides(shape, tuple(strides), size, byte_length)
    elif byte_length != count * size:
        raise ValueError(f"{count * size} bytes wanted for {dtype} {list(shape)}, {byte_length} found")
    block, end = generation % HANDED_OFF >> 32, start + byte_length
    with _Exclusively():
        region = Region._find(name)
        if block >= region.capacity:
            raise ValueError(f"region {name} has {region.capacity} blocks, not one of number {block}")
        if start < region.data_offset or end > region.size:
            raise ValueError(f"bytes {start} to {end} do not lie in region {name}")
        region._take(block, generation & 0xFFFFFFFF, start, end)
        if generation >= HANDED_OFF:
            region._receive(block)
    return Tensor(_Hold(region, block), generation & 0xFFFFFFFF, start, byte_length, dtype, shape, strides, read_only)


def create(dtype, shape, backend="named"):
    """Makes a tensor of zeros, in a region of its own. This process may end while others hold it ("named")."""
    _require(dtype in DTYPES, f"no dtype of shared memory is called {dtype!r}")
    shape = tuple(shape)
    _require(all(type(length) is int and length >= 0 for length in shape), f"lengths from 0 up wanted, {shape} found")
    byte_length = math.prod(shape) * DTYPES[dtype][1]
    region = Region.create(byte_length, backend)
    return Tensor(_Hold(region, 0), 1, region.data_offset, byte_length, dtype, shape, None, False)


def share(array, backend="named"):
    """Copies an array of NumPy's, or whatever has a buffer of numbers, into a new tensor, in row-major order."""
    view = memoryview(array)
    formats = {(form, size): name for name, (form, size) in reversed(DTYPES.items()) if name != "bfloat16"}
    form = view.format.lstrip("@=<|")
    form = {("l", 8): "q", ("L", 8): "Q"}.get((form, view.itemsize), form)
    _require((form, view.itemsize) in formats, f"numbers of this machine or booleans wanted, {view.format!r} found")
    tensor = create(formats[form, view.itemsize], view.shape, backend)
    if view.nbytes:
        _view(tensor._held(), tensor._start, tensor._bytes)[:] = view.tobytes()
    return tensor


def format_ref(ref):
    """A reference as one word, for a command line."""
    lists = ["x".join(map(str, ref[name])) for name in ("shape", "strides") if name in ref]
    fields = (ref[name] for name in ("v", "region", "generation", "byteOffset", "byteLength", "dtype"))
    return ",".join(["coload-tensor", *map(str, fields), *lists])


def sweep():
    """Cleans up after the dead: how many regions went, and of how many bytes. Section "Sweeping"."""
    count = freed = 0
    with _Exclusively():
        _collect()
    for name in os.listdir(SHM) if os.path.isdir(SHM) else ():
        if re.fullmatch(NAMED, name):
            with contextlib.suppress(OSError, ValueError, ReferenceError):  # it went, or is none
                size = _sweep_one(name)
                count, freed = count + (size > 0), freed + size
    return count, freed


def _sweep_one(name):
    """The bytes of a region that was removed; 0 where it stays."""
    region = None
    fd = _open_file(name)
    try:
        size, offset, data, capacity = _check_file(fd, name)
        region = Region(fd, name, size, offset, data, capacity, mapped=offset)
        is_gone = _sweep_dead(region) if _try_lock(fd, 0, SLOTS) else _sweep_living(region)
        if is_gone:
            _unlink(name)
        return size if is_gone else 0
    finally:
        if region is not None:
            region._unmap()
        os.close(fd)


def _sweep_dead(region):
    region.slot = 0  # the lock of all is had
    return region._tidy()


def _sweep_living(region):
    """Somebody lives: what the dead among them held goes. Whether the name is of no use any more."""
    if region._is_abandoned():
        region._close_state()
    ours = _regions.get(region.name)
    for slot in range(SLOTS):
        is_taken = slot != (ours and ours.slot) and region._at("load_4", SLOTS_AT + ENTRY * slot) == 1
        if is_taken and _try_lock(region.fd, slot):
            region._let_go_all(slot)
            region._at("store_4", SLOTS_AT + ENTRY * slot, 0)
            _try_lock(region.fd, slot, kind=fcntl.F_UNLCK)
    now = int(time.time() * 1000)
    for block in region._held_blocks():
        region._end_transit(block, now)
    return region.capacity > 0 and region._is_abandoned() and not region._held_blocks()


@atexit.register
def _at_exit():
    lock = _lock
    if lock.acquire(timeout=1):  # which a thread that was stopped may have
        try:
            for region in list(_regions.values()):
                region._leave()
                os.close(region.fd)
                region.address = None  # and mapped: arrays may be looked at still
        finally:
            lock.release()


def _after_fork():
    """In a child that did not exec: the parent's holds are not its own, and its descriptors would keep them for ever."""
    for region in _regions.values():
        os.close(region.fd)
        region.address = None
    global _lock
    _lock = threading.Lock()  # which another thread may have had
    for known in (_regions, _dropped, _sent):
        known.clear()


os.register_at_fork(after_in_child=_after_fork)

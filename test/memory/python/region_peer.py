"""A participant in shared memory regions, written from src/memory/REGION.md alone, in Python without any package.

    region_peer.py check               says whether this machine can run it
    region_peer.py hold REF            holds the tensor of a reference, then does what each line of stdin says
    region_peer.py own BACKEND N ...   makes a region with one tensor of these numbers, and closes it after a line

Each answer is one line of JSON. Sections that are named here are those of REGION.md.
"""

import contextlib, ctypes, fcntl, json, math, mmap
import os, re, secrets, stat, struct, sys, time

PAGE, HEADER_BYTE_LENGTH, SLOTS, MAX_BLOCKS, ENTRY = 4096, 128, 63, 2**20, 64
SLOTS_OFFSET, BLOCKS_OFFSET, STATE, MADE, RETURNED, OPEN, CLOSED = 4096, 8192, 128, 132, 192, 0, 1
GENERATION, NEXT, BYTE_OFFSET, DEADLINE = 8, 12, 16, 32
TRANSIT, ALL, HANDED_OFF = 1 << 63, 2**64 - 1, 1 << 52
F_OFD_GETLK, F_OFD_SETLK, F_ADD_SEALS, F_GET_SEALS, SIZE_SEALS = 36, 37, 1033, 1034, 1 | 2 | 4
FLOCK, HEADER = "hh4xqqi4x", "<8sIIQQQII16s"


def answer(value):
    print(json.dumps(value), flush=True)


def require(condition, otherwise):
    if not condition:
        raise ValueError(otherwise)


def pages(byte_length):
    return -(-byte_length // PAGE) * PAGE


class Atomics:
    """Section "Atomic steps": `atomics("fetch_or_8", at, value)`."""

    ORDER, UNITS = ctypes.c_int(5), {"4": ctypes.c_uint32, "8": ctypes.c_uint64}

    def __init__(self, start):
        self.library, self.start = ctypes.CDLL("libatomic.so.1"), start
        is_lock_free = self.library["__atomic_is_lock_free"]
        is_lock_free.restype = ctypes.c_bool
        require(is_lock_free(ctypes.c_size_t(8), ctypes.c_void_p(start)), "atomics take locks here")

    def __call__(self, name, at, *values):
        unit, function = self.UNITS[name[-1]], self.library[f"__atomic_{name}"]
        function.restype = unit
        return function(ctypes.c_void_p(self.start + at), *map(unit, values), self.ORDER)

    def swap(self, at, expected, wanted):
        """Compare-and-swap of 8 bytes. Returns what was found: `expected` where it was done."""
        found, pointer = ctypes.c_uint64(expected), ctypes.c_void_p(self.start + at)
        function = self.library["__atomic_compare_exchange_8"]
        function(pointer, ctypes.byref(found), ctypes.c_uint64(wanted), self.ORDER, self.ORDER)
        return found.value


def try_lock(fd, start, length=1, kind=fcntl.F_WRLCK):
    """Section "Locks"."""
    try:
        fcntl.fcntl(fd, F_OFD_SETLK, struct.pack(FLOCK, kind, os.SEEK_SET, start, length, 0))
        return True
    except (BlockingIOError, PermissionError):
        return False


def start_time(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])  # field 22: the first after the name is field 3


def pid_namespace():
    return int(re.fullmatch(r"pid:\[(\d+)\]", os.readlink("/proc/self/ns/pid"))[1])


def open_file(name):
    """Section "Opening a region", steps 1 and 2."""
    if re.fullmatch(r"coload-[0-9a-f]{32}", name):
        return os.open(f"/dev/shm/{name}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = re.fullmatch(r"memfd-(\d{1,10})-(\d{1,10})-(\d{1,15})-(\d{1,10})-[0-9a-f]{32}", name)
    require(found, f"no region is called {name!r}")
    namespace, pid, started, fd = map(int, found.groups())
    require(namespace == pid_namespace(), "it is in another pid namespace")
    if start_time(pid) != started:
        raise ReferenceError("its owner is gone")
    return os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)


def check_file(fd, name):
    """Steps 3 and 4. Returns the file's size, where the data starts, and how many blocks there can be."""
    status, is_memfd = os.fstat(fd), name.startswith("memfd-")
    require(stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid(), "it is no file of this user")
    require(is_memfd or status.st_mode & 0o077 == 0, "other users may reach it")
    require(not is_memfd or fcntl.fcntl(fd, F_GET_SEALS) & SIZE_SEALS == SIZE_SEALS, "its size is not sealed")
    copy = os.pread(fd, HEADER_BYTE_LENGTH, 0)
    require(len(copy) == HEADER_BYTE_LENGTH, "it is too short")
    magic, version, header, size, offset, data, slots, capacity, region_id = struct.unpack_from(HEADER, copy)
    known = magic == b"COLOADSM" and (version, header, slots) == (1, HEADER_BYTE_LENGTH, SLOTS)
    require(known and capacity <= MAX_BLOCKS, "it is no region of version 1")
    require(size == status.st_size and offset == BLOCKS_OFFSET + pages(ENTRY * capacity), "its sizes are wrong")
    require(data <= size - offset, "its data leads out of it")
    require(not is_memfd or name.endswith(region_id.hex()), "its descriptor is another region's")
    return size, offset, capacity


class Region:
    def __init__(self, fd, name, size, data_offset, capacity):
        self.fd, self.name, self.size, self.data_offset, self.capacity = fd, name, size, data_offset, capacity
        self.memory = mmap.mmap(fd, size)  # has a dup of fd: the lock would last until both are closed
        self.pin = ctypes.c_char.from_buffer(self.memory)
        self.atomics = Atomics(ctypes.addressof(self.pin))
        self.slot, self.held = None, set()  # it holds each block once, and so need not count

    @classmethod
    def join(cls, name):
        fd = open_file(name)
        return cls(fd, name, *check_file(fd, name)).take_slot()

    @classmethod
    def create(cls, backend, byte_length):
        """Section "Making a region". It has room for one block."""
        region_id, data_offset = secrets.token_bytes(16), BLOCKS_OFFSET + pages(ENTRY)
        size, name = data_offset + max(PAGE, pages(byte_length)), f"coload-{region_id.hex()}"
        if backend == "named":
            fd = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(fd, 0, size)
        else:
            fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.posix_fallocate(fd, 0, size)
            fcntl.fcntl(fd, F_ADD_SEALS, SIZE_SEALS)
            name = f"memfd-{pid_namespace()}-{os.getpid()}-{start_time(os.getpid())}-{fd}-{region_id.hex()}"
        region = cls(fd, name, size, data_offset, 1)
        region.slot = 0
        require(try_lock(fd, 0), "a new region is locked")
        region.enter()
        sizes = size, data_offset, byte_length, SLOTS, 1
        struct.pack_into(HEADER, region.memory, 0, b"COLOADSM", 1, HEADER_BYTE_LENGTH, *sizes, region_id)
        if backend == "named":  # with a src_dir_fd, which means nothing here, Python calls linkat and not link
            os.link(f"/proc/self/fd/{fd}", f"/dev/shm/{name}", src_dir_fd=fd, follow_symlinks=True)
        taken = -(-byte_length // ENTRY) * ENTRY  # from here on section "Making a block"
        struct.pack_into("<QQ", region.memory, BLOCKS_OFFSET + BYTE_OFFSET, data_offset, taken)
        region.atomics("store_4", MADE, 1)
        region.atomics("fetch_add_4", BLOCKS_OFFSET + GENERATION, 1)
        region.atomics("store_8", BLOCKS_OFFSET, 1)
        region.held.add(0)
        return region

    def take_slot(self):
        """Section "Opening a region", steps 6 to 9."""
        end = time.monotonic() + 2
        while self.slot is None:
            require(time.monotonic() < end, "the region is full")
            self.slot = next((slot for slot in range(1, SLOTS) if try_lock(self.fd, slot)), None)
        if self.name.startswith("coload-") and os.fstat(self.fd).st_nlink == 0:
            raise ReferenceError("the region is gone")
        if self.atomics("load_4", SLOTS_OFFSET + ENTRY * self.slot) == 1:
            for block in self.held_blocks():
                self.release(block)
        return self.enter()

    def enter(self):
        at, pid = SLOTS_OFFSET + ENTRY * self.slot, os.getpid()
        struct.pack_into("<iQQi", self.memory, at + 4, pid, start_time(pid), pid_namespace(), self.fd)
        self.atomics("store_4", at, 1)
        return self

    def holders(self, block):
        return self.atomics("load_8", BLOCKS_OFFSET + ENTRY * block)

    def held_blocks(self):
        return [block for block in range(self.capacity) if self.holders(block) != 0]

    def is_abandoned(self):
        if self.slot == 0 or self.atomics("load_4", STATE) == CLOSED:
            return self.atomics("load_4", STATE) == CLOSED
        answered = fcntl.fcntl(self.fd, F_OFD_GETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
        return struct.unpack(FLOCK, answered)[0] == fcntl.F_UNLCK

    def extent(self, block):
        start, length = struct.unpack_from("<QQ", self.memory, BLOCKS_OFFSET + ENTRY * block + BYTE_OFFSET)
        return start, start + length

    def hold(self, block, generation):
        """Section "Holding and letting go"."""
        at, held = BLOCKS_OFFSET + ENTRY * block, False
        while not held:
            found = self.holders(block)
            if found == 0:
                raise ReferenceError("the block was freed")
            held = self.atomics.swap(at, found, found | 1 << self.slot) == found
        self.held.add(block)
        if self.atomics("load_4", at + GENERATION) != generation:
            self.release(block)
            raise ReferenceError("the block is in other use")

    def receive(self, block):
        at = BLOCKS_OFFSET + ENTRY * block
        deadline = self.atomics("load_8", at + DEADLINE)
        self.atomics("fetch_and_8", at, ALL ^ TRANSIT)
        self.atomics.swap(at + DEADLINE, deadline, 0)

    def release(self, block):
        self.held.discard(block)
        if self.atomics("fetch_and_8", BLOCKS_OFFSET + ENTRY * block, ALL ^ 1 << self.slot) == 1 << self.slot:
            self.free(block)

    def send(self, block, ttl_ms):
        """Section "Handing off"."""
        at = BLOCKS_OFFSET + ENTRY * block
        deadline = int(time.time() * 1000) + ttl_ms
        require(self.atomics.swap(at + DEADLINE, 0, deadline) == 0, "another reference is on its way")
        self.atomics("fetch_or_8", at, TRANSIT)
        self.release(block)

    def free(self, block):
        """Section "Giving back"."""
        if self.is_abandoned():
            self.atomics("store_4", STATE, CLOSED)
            start, end = self.extent(block)
            self.punch(max(start, self.data_offset), min(end, self.size))
        elif self.slot != 0:
            pushed = False
            while not pushed:
                top = self.atomics("load_8", RETURNED)
                struct.pack_into("<I", self.memory, BLOCKS_OFFSET + ENTRY * block + NEXT, top & 0xFFFFFFFF)
                changed = ((top >> 32) + 1 & 0xFFFFFFFF) << 32 | block + 1
                pushed = self.atomics.swap(RETURNED, top, changed) == top

    def punch(self, start, end):
        start, end = pages(start), end // PAGE * PAGE  # where that is nothing, the call fails
        ctypes.CDLL(None).fallocate(self.fd, 1 | 2, ctypes.c_int64(start), ctypes.c_int64(end - start))

    def close(self):
        """Section "Closing"."""
        for block in list(self.held):
            self.release(block)
        if self.slot == 0 and self.atomics("exchange_4", STATE, CLOSED) == OPEN and not self.held_blocks():
            self.punch(self.data_offset, self.size)  # there is one block at most: it, or all, is unheld
        self.atomics("store_4", SLOTS_OFFSET + ENTRY * self.slot, 0)
        try_lock(self.fd, self.slot, kind=fcntl.F_UNLCK)
        if self.name.startswith("coload-") and self.is_of_no_use():
            with contextlib.suppress(FileNotFoundError):  # another one was faster
                os.unlink(f"/dev/shm/{self.name}")
        del self.atomics, self.pin
        self.memory.close()
        os.close(self.fd)

    def is_of_no_use(self):
        held = self.held_blocks()
        if try_lock(self.fd, 0, SLOTS):  # the last one out: it keeps what is on its way, for the next sweep to tidy
            sent = [BLOCKS_OFFSET + ENTRY * block for block in held if self.holders(block) & TRANSIT]
            return all(self.atomics("load_8", at + DEADLINE) <= time.time() * 1000 for at in sent)
        return self.capacity > 0 and self.is_abandoned() and not held


class Floats:
    """A row-major tensor of float32, by its reference: section "References"."""

    def __init__(self, ref):
        counts = [ref["generation"], ref["byteOffset"], ref["byteLength"], *ref["shape"]]
        require(ref["v"] == 1 and all(type(n) is int and 0 <= n < 2**53 for n in counts), "no reference of version 1")
        require(ref["dtype"] == "float32" and "strides" not in ref, "only row-major float32 is known here")
        self.count, self.start, end = math.prod(ref["shape"]), counts[1], counts[1] + counts[2]
        require(self.start % 4 == 0 and counts[2] == 4 * self.count, "its bytes do not fit its shape")
        self.region, self.block = Region.join(ref["region"]), counts[0] % HANDED_OFF >> 32
        inside = self.region.data_offset <= self.start and end <= self.region.size
        require(inside and self.block < self.region.capacity, "it leads out of the region")
        self.region.hold(self.block, counts[0] & 0xFFFFFFFF)
        first, last = self.region.extent(self.block)
        require(first <= self.start and end <= last, "it leads out of its block")
        if counts[0] & HANDED_OFF:
            self.region.receive(self.block)

    def read(self):
        return struct.unpack_from(f"<{self.count}f", self.region.memory, self.start)

    def write(self, *values):
        struct.pack_into(f"<{self.count}f", self.region.memory, self.start, *map(float, values))


def hold(ref):
    tensor = Floats(json.loads(ref))
    region, block = tensor.region, tensor.block
    ends = {"release": lambda: region.release(block), "send": lambda ttl: region.send(block, int(ttl))}
    verbs = {"read": tensor.read, "write": tensor.write, **ends}
    answer(tensor.read())
    for line in sys.stdin:
        verb, *arguments = line.split()
        answer(verbs[verb](*arguments))
    region.close()


def own(backend, *values):
    byte_length = 4 * len(values)
    region = Region.create(backend, byte_length)
    memory, start, kind = region.memory, region.data_offset, f"<{len(values)}f"
    struct.pack_into(kind, memory, start, *map(float, values))
    ref = {"v": 1, "region": region.name, "generation": 1, "byteOffset": start, "byteLength": byte_length}
    answer({**ref, "dtype": "float32", "shape": [len(values)]})
    sys.stdin.readline()
    answer(struct.unpack_from(kind, memory, start))
    region.close()


try:
    {"check": lambda: answer(Atomics(0).start), "hold": hold, "own": own}[sys.argv[1]](*sys.argv[2:])
except (ReferenceError, FileNotFoundError) as error:
    answer({"stale": str(error)})

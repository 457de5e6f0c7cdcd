// Makes a memfd region and tells its name: see ../region_names_test.ts.
import { SharedMemoryRegion } from "../../../mod.ts";

using region = SharedMemoryRegion.create(1, { backend: "memfd" });
console.log(`${region.name}\nEND`);

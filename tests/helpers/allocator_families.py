"""Small kernels in the manner of well-known ones: functions, prototypes and structures have their names, the code is our own.

Each takes and gives back memory in all ways of its family, keeps some of it, and ends. The variable ``fault`` makes it do one thing wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.image import KernelImage
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

DOUBLE_FREE, LEAK, WRONG_FREE = 1, 2, 3


class Family(NamedTuple):
    """A kernel.

    Attributes:
        profile: Name of the built-in profile that describes it.
        source: Of the functions of the family; ``get`` and ``put`` use them.
        faults: What it can be made to do wrong.
    """

    profile: str
    source: str
    faults: tuple[int, ...] = (DOUBLE_FREE, LEAK, WRONG_FREE)


def compile_family(directory: Path, family: Family, option: str, *, debug: bool = True) -> Path:
    """Compile the kernel of a family, and return its file."""
    source = _BEGIN + family.source + _END
    return compile_kernel(directory, source, [option, *(["-g"] if debug else []), "-fno-inline"])


def with_fault(kernel: Path, fault: int) -> Path:
    """Return a copy of a kernel that does one thing wrong."""
    image, data = KernelImage.read(kernel), bytearray(kernel.read_bytes())
    symbol = image.symbol("fault")
    assert symbol is not None
    (segment,) = (
        each for each in image.segments if each.virtual <= symbol.address < each.virtual + each.size
    )
    start = bytes(data).index(segment.data) + symbol.address - segment.virtual
    data[start] = fault
    copy = kernel.with_name(f"{kernel.stem}_{fault}.elf")
    copy.write_bytes(data)
    return copy


_BEGIN: Final = """
typedef unsigned size_t;
typedef unsigned uint32_t;
typedef unsigned uint;
#define NULL ((void *)0)
volatile int fault = 99;                         /* set in the file; 99 is nothing, and keeps it out of .bss */
static char arena[1 << 17] __attribute__((aligned(4096)));
static unsigned top;
static struct hole { char *body; unsigned size; } holes[64];

/* The nearest thing to an allocator: what was given back is handed out again for the same size. In front of a body there is room for a
   header; nothing is written into a body. */
static char *take(unsigned size)
{
    unsigned whole = (size + 15) & ~15u;
    for (struct hole *hole = holes; hole < holes + 64; hole++)
        if (hole->body && hole->size == whole) {
            char *body = hole->body;
            hole->body = NULL;
            return body;
        }
    if (top + 16 + whole > sizeof arena)
        return NULL;
    top += 16 + whole;
    return arena + top - whole;
}

static void give(void *body, unsigned size)
{
    struct hole *hole = holes;
    if ((unsigned)body % 16)
        return;
    while (hole->body && hole->body != body)
        hole++;
    hole->body = body;
    hole->size = (size + 15) & ~15u;
}

static void *copy(void *to, const void *from, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    return to;
}
"""

_END: Final = """
void *kept[8];
static void misuse(void)
{
    void *block = get(48);
    if (fault == 2)
        return;
    put(fault == 3 ? (char *)block + 8 : block);
    if (fault == 1)
        put(block);
    else
        kept[7] = block;
}

static void work(void)
{
    for (int i = 0; i < 7; i++)
        kept[i] = get(24 + 8 * i);
    for (int i = 0; i < 7; i += 2) {
        put(kept[i]);
        kept[i] = NULL;
    }
    kept[0] = get(40);
}

void _start(void)
{
    start();
    work();
    if (fault != 99)
        misuse();
    asm volatile("xor %eax, %eax; outb %al, $0xf4; cli; hlt");
}
"""

FREERTOS: Final = Family(
    "FreeRTOS",
    """
typedef struct A_BLOCK_LINK { struct A_BLOCK_LINK *pxNextFreeBlock; size_t xBlockSize; } BlockLink_t;
BlockLink_t xStart;
void *pvPortMalloc(size_t xWantedSize)
{
    char *body = take(xWantedSize);
    if (body)
        ((BlockLink_t *)body)[-1].xBlockSize = xWantedSize;
    return body;
}
void vPortFree(void *pv)
{
    if (pv)
        give(pv, ((BlockLink_t *)pv)[-1].xBlockSize);
}
void *pvPortCalloc(size_t xNum, size_t xSize) { return pvPortMalloc(xNum * xSize); }
static void start(void) { xStart.xBlockSize = 0; }
static void *get(unsigned size) { return size == 40 ? pvPortCalloc(4, 10) : pvPortMalloc(size); }
static void put(void *block) { vPortFree(block); }
""",
)

FREERTOS_HEAP_1: Final = Family(
    "FreeRTOS heap_1",
    """
static size_t xNextFreeByte;
void *pvPortMalloc(size_t xWantedSize) { xNextFreeByte += xWantedSize; return take(xWantedSize); }
void vPortFree(void *pv) { (void)pv; }
static void start(void) { }
static void *volatile ever[16];
static void *get(unsigned size) { static int number; return ever[number++] = pvPortMalloc(size); }
static void put(void *block) { if (!block) vPortFree(block); }
""",
    faults=(),
)

_LIBC: Final = """
static void *allocate(size_t size) { unsigned *body = (unsigned *)take(size); if (body) body[-1] = size; return body; }
static void release(void *block) { if (block) give(block, ((unsigned *)block)[-1]); }
static void *again(void *block, size_t size)
{
    void *moved = allocate(size);
    if (block && moved)
        copy(moved, block, ((unsigned *)block)[-1] < size ? ((unsigned *)block)[-1] : size);
    release(block);
    return moved;
}
"""

NEWLIB: Final = Family(
    "newlib",
    _LIBC
    + """
struct _reent { int _errno; } reent;
void *_malloc_r(struct _reent *reent_ptr, size_t s) { (void)reent_ptr; return allocate(s); }
void _free_r(struct _reent *reent_ptr, void *free_p) { (void)reent_ptr; release(free_p); }
void *_calloc_r(struct _reent *reent_ptr, size_t n, size_t elem) { return _malloc_r(reent_ptr, n * elem); }
void *_realloc_r(struct _reent *reent_ptr, void *ptr, size_t size)
{
    void *mem = _malloc_r(reent_ptr, size);
    copy(mem, ptr, 8);
    _free_r(reent_ptr, ptr);
    return mem;
}
void *malloc(size_t nbytes) { return _malloc_r(&reent, nbytes); }
void free(void *aptr) { _free_r(&reent, aptr); }
static void start(void) { }
static void *get(unsigned size) { return size == 40 ? _realloc_r(&reent, _calloc_r(&reent, 2, 8), 40) : malloc(size); }
static void put(void *block) { free(block); }
""",
)

PICOLIBC: Final = Family(
    "picolibc",
    _LIBC
    + """
void *__malloc_free_list, *__malloc_sbrk_start = arena;
void *malloc(size_t s) { __malloc_free_list = NULL; return allocate(s); }
extern typeof(malloc) __malloc_malloc __attribute__((alias("malloc")));
void free(void *ptr) { release(ptr); }
void *calloc(size_t n, size_t elem) { return malloc(n * elem); }
void *realloc(void *ptr, size_t size) { return again(ptr, size); }
static void start(void) { }
static void *get(unsigned size) { return size == 40 ? realloc(calloc(2, 8), 40) : malloc(size); }
static void put(void *block) { free(block); }
""",
)

DLMALLOC: Final = Family(
    "dlmalloc",
    _LIBC
    + """
static struct malloc_state { size_t topsize; } _gm_;
static struct malloc_params { size_t magic; } mparams;
void *dlmalloc(size_t bytes) { _gm_.topsize += mparams.magic; return allocate(bytes); }
void dlfree(void *mem) { mparams.magic++; release(mem); }
void *dlcalloc(size_t n_elements, size_t elem_size) { return dlmalloc(n_elements * elem_size); }
void *dlrealloc(void *mem, size_t bytes) { return again(mem, bytes); }
void *dlmemalign(size_t alignment, size_t bytes) { (void)alignment; return dlmalloc(bytes); }
static void start(void) { }
static void *get(unsigned size) { return size == 40 ? dlrealloc(dlcalloc(2, 8), 40) : size == 32 ? dlmemalign(8, 32) : dlmalloc(size); }
static void put(void *block) { dlfree(block); }
""",
)

LK: Final = Family(
    "lk",
    _LIBC
    + """
struct list_node { struct list_node *prev, *next; };
static struct list_node delayed_free_list = {&delayed_free_list, &delayed_free_list};
static int delayed_free_lock = 1;
static unsigned pages_left = 4;
static char pages[4 * 4096] __attribute__((aligned(4096)));
void *pmm_alloc_kpages(uint count, struct list_node *list) { (void)list; pages_left -= count; return pages + 4096 * pages_left; }
size_t pmm_free_kpages(void *ptr, uint count) { pages_left += ptr ? count : 0; return count; }
static void free_delayed(void)
{
    while (delayed_free_list.next != &delayed_free_list) {
        struct list_node *node = delayed_free_list.next;
        delayed_free_list.next = node->next;
        release(node);
    }
}
void *malloc(size_t size) { free_delayed(); return allocate(size); }
void *memalign(size_t boundary, size_t size) { (void)boundary; free_delayed(); return allocate(size); }
void *calloc(size_t count, size_t size) { free_delayed(); return allocate(count * size); }
void *realloc(void *ptr, size_t size) { free_delayed(); return again(ptr, size); }
void free(void *ptr) { release(ptr); }
void heap_delayed_free(void *ptr)
{
    struct list_node *node = ptr;
    delayed_free_lock++;
    node->next = delayed_free_list.next;
    delayed_free_list.next = node;
}
void *volatile own_pages;
static void start(void)
{
    own_pages = pmm_alloc_kpages(1, NULL);
    pmm_free_kpages(pmm_alloc_kpages(2, NULL), 2);
}
static void *get(unsigned size) { return size == 40 ? realloc(calloc(2, 8), 40) : size == 32 ? memalign(8, 32) : malloc(size); }
static void put(void *block)
{
    static int turn;
    if (turn++ == 1)
        heap_delayed_free(block);
    else
        free(block);
}
""",
)

LITECORE_PUBLIC: Final = Family(
    "LiteCore, public sources",
    """
typedef struct block_header { uint32_t size; struct block_header *next; } block_header_t;
static block_header_t *volatile free_list = (block_header_t *)arena;
static volatile unsigned heap_start_addr, heap_end_addr;
static volatile struct { uint32_t *bitmap; } memmap;
static uint32_t bitmap[2];
static char frames[2 * 4096] __attribute__((aligned(4096)));
void mem_init(uint32_t start, uint32_t end) { heap_start_addr = start; heap_end_addr = end; free_list = NULL; }
void *kmalloc(uint32_t size)
{
    char *body = take(size);
    if (body)
        ((block_header_t *)body)[-1].size = size;
    return body;
}
void kfree(void *ptr) { if (ptr) give(ptr, ((block_header_t *)ptr)[-1].size); }
void memmap_init(uint32_t start, uint32_t end) { memmap.bitmap = bitmap; bitmap[0] = bitmap[1] = end < start; }
void memmap_reserve(uint32_t start, uint32_t end) { (void)start; (void)end; }
void *alloc_frame(void) { bitmap[0]++; return frames; }
void free_frame(void *addr) { bitmap[0] -= addr == frames; }
static void start(void)
{
    memmap_init((uint32_t)frames, (uint32_t)frames + sizeof frames);
    mem_init((uint32_t)arena, (uint32_t)arena + sizeof arena);
    free_frame(alloc_frame());
}
static void *get(unsigned size) { return kmalloc(size); }
static void put(void *block) { kfree(block); }
""",
)

XV6: Final = Family(
    "xv6",
    """
struct run { struct run *next; };
struct { int use_lock; struct run *freelist; } kmem;
static char memory[16 * 4096] __attribute__((aligned(4096)));
void kfree(char *v)
{
    struct run *r = (struct run *)v;
    if ((uint)v % 4096)
        return;
    for (struct run *each = kmem.freelist; each; each = each->next)
        if (each == r)
            return;
    r->next = kmem.freelist;
    kmem.freelist = r;
}
void freerange(void *vstart, void *vend) { for (char *p = vstart; p + 4096 <= (char *)vend; p += 4096) kfree(p); }
void kinit1(void *vstart, void *vend) { kmem.use_lock = 0; freerange(vstart, vend); }
void kinit2(void *vstart, void *vend) { freerange(vstart, vend); kmem.use_lock = 1; }
char *kalloc(void)
{
    struct run *r = kmem.freelist;
    if (r)
        kmem.freelist = r->next;
    return (char *)r;
}
static void start(void) { kinit1(memory, memory + 4 * 4096); kinit2(memory + 4 * 4096, memory + sizeof memory); }
static void *get(unsigned size)
{
    struct run *page = (struct run *)kalloc();
    if (page && size)
        page->next = NULL;
    return page;
}
static void put(void *block) { kfree(block); }
""",
    faults=(DOUBLE_FREE,),
)

_PAGE_ARRAY: Final = """
struct page { unsigned long flags; unsigned order; unsigned taken; };
struct kmem_cache { const char *name; unsigned raw_object_size, object_size; };
static unsigned next_page = 0x400;
static struct page *run_of(struct page *map, unsigned order)
{
    struct page *page = map + next_page;
    next_page += 1u << order;
    page->taken = 1;
    return page;
}
static void *object(unsigned size) { unsigned *body = (unsigned *)take(size); if (body) body[-1] = size; return body; }
static void drop(void *block) { if (block) give(block, ((unsigned *)block)[-1]); }
"""

LINUX: Final = Family(
    "Linux",
    _PAGE_ARRAY
    + """
static struct page pages[0x800];
struct page *mem_map = pages;
static struct kmem_cache tasks = {"tasks", 32, 32};
struct page *alloc_pages(unsigned gfp, unsigned order) { (void)gfp; return run_of(mem_map, order); }
void __free_pages(struct page *page, unsigned order) { page->order = order; page->taken = 0; }
void *kmem_cache_alloc(struct kmem_cache *cache, unsigned flags) { (void)flags; return object(cache->object_size); }
void kmem_cache_free(struct kmem_cache *cache, void *object) { (void)cache; drop(object); }
void *kmalloc(size_t size, unsigned flags) { (void)flags; return object(size); }
void kfree(const void *object) { drop((void *)object); }
static void start(void)
{
    __free_pages(alloc_pages(0, 2), 2);
}
static void *get(unsigned size) { return size == 32 ? kmem_cache_alloc(&tasks, 0) : kmalloc(size, 0); }
static void put(void *block)
{
    if (block == kept_task)
        kmem_cache_free(&tasks, block);
    else
        kfree(block);
}
""".replace("block == kept_task", "((unsigned *)block)[-1] == 32"),
)

MENTOS: Final = Family(
    "MentOS",
    _PAGE_ARRAY.replace("unsigned taken;", "unsigned taken; struct { int unused; } bbpage;")
    + """
typedef struct kmem_cache kmem_cache_t;
typedef struct page page_t;
static page_t pages[0x800];
struct { unsigned before; page_t *mem_map; } memory = {1, pages};
static kmem_cache_t *volatile kmem_caches_list, *volatile malloc_blocks[2];
static kmem_cache_t tasks = {"tasks", 30, 32}, small = {"small", 24, 24};
page_t *pr_alloc_pages(const char *file, const char *func, int line, unsigned gfp, uint32_t order)
{ (void)file; (void)func; (void)line; (void)gfp; return run_of(memory.mem_map, order); }
int pr_free_pages(const char *file, const char *func, int line, page_t *page)
{ (void)file; (void)func; (void)line; page->taken = 0; return 0; }
__attribute__((noclone)) void *pr_kmem_cache_alloc(const char *file, const char *fun, int line, kmem_cache_t *cachep, unsigned flags)
{ (void)file; (void)fun; (void)line; (void)flags; return object(cachep->object_size); }
int pr_kmem_cache_free(const char *file, const char *fun, int line, void *addr)
{ (void)file; (void)fun; (void)line; drop(addr); return 0; }
void *pr_kmalloc(const char *file, const char *fun, int line, unsigned int size)
{
    if (size == 24)
        return pr_kmem_cache_alloc(file, fun, line, malloc_blocks[0], 0);
    return object(size);
}
void pr_kfree(const char *file, const char *fun, int line, void *ptr) { pr_kmem_cache_free(file, fun, line, ptr); }
int kmem_cache_destroy(kmem_cache_t *cachep) { return cachep ? 0 : -1; }
static void start(void)
{
    malloc_blocks[0] = kmem_caches_list = &small;
    pr_free_pages("a.c", "start", 2, pr_alloc_pages("a.c", "start", 3, 0, 2));
}
static void *get(unsigned size)
{
    return size == 32 ? pr_kmem_cache_alloc("a.c", "get", 4, &tasks, 0) : pr_kmalloc("a.c", "get", 5, size);
}
static void put(void *block) { pr_kfree("a.c", "put", 6, block); }
""",
)

GNU_MACH: Final = Family(
    "GNU Mach",
    """
typedef unsigned vm_offset_t;
typedef unsigned vm_size_t;
struct kmem_cache { int flags; size_t obj_size, buf_size; };
struct vm_page { unsigned short type; unsigned order; vm_offset_t phys_addr; };
static struct kmem_cache *volatile kmem_cache_list;
static struct kmem_cache tasks = {0, 32, 40};
int vm_page_queue_free_lock;
static struct vm_page pages[2] = {{0, 1, 0x300000}, {0, 2, 0x380000}};
vm_offset_t kmem_cache_alloc(struct kmem_cache *cache) { unsigned *body = (unsigned *)take(cache->obj_size); body[-1] = cache->obj_size; return (vm_offset_t)body; }
void kmem_cache_free(struct kmem_cache *cache, vm_offset_t obj) { give((void *)obj, cache->obj_size); }
vm_offset_t kalloc(vm_size_t size)
{
    if (size == 32)
        return kmem_cache_alloc(&tasks);
    unsigned *body = (unsigned *)take(size);
    body[-1] = size;
    return (vm_offset_t)body;
}
void kfree(vm_offset_t data, vm_size_t size)
{
    kmem_cache_list = NULL;
    if (size == 32)
        kmem_cache_free(&tasks, data);
    else
        give((void *)data, size);
}
struct vm_page *vm_page_alloc_pa(unsigned order, unsigned selector, unsigned short type)
{
    if (order > 2)
        return NULL;
    pages[order - 1].type = type + selector;
    return &pages[order - 1];
}
void vm_page_free_pa(struct vm_page *page, unsigned order) { page->order = order; vm_page_queue_free_lock++; }
static void start(void)
{
    vm_page_free_pa(vm_page_alloc_pa(2, 0, 0), 2);
    if (vm_page_alloc_pa(3, 0, 0)) /* there are none */
        vm_page_queue_free_lock = 0;
}
static void *get(unsigned size) { return (void *)kalloc(size); }
static void put(void *block) { kfree((vm_offset_t)block, ((unsigned *)block)[-1]); }
""",
)

_ZEPHYR: Final = """
struct z_heap { unsigned avail_buckets; struct { unsigned next; } buckets[1]; };
struct sys_heap { struct z_heap *heap; };
struct k_heap { struct sys_heap heap; int lock; } _system_heap;
typedef struct { int ticks; } k_timeout_t;
static const k_timeout_t K_NO_WAIT;
static struct z_heap state;
void sys_heap_init(struct sys_heap *heap, void *mem, size_t bytes) { (void)mem; (void)bytes; heap->heap = &state; state.buckets[0].next = 0; }
void *sys_heap_alloc(struct sys_heap *heap, size_t bytes)
{
    unsigned *body;
    heap->heap->avail_buckets++;
    body = (unsigned *)take(bytes);
    if (body)
        body[-1] = bytes;
    return body;
}
void sys_heap_free(struct sys_heap *heap, void *mem) { heap->heap->avail_buckets--; if (mem) give(mem, ((unsigned *)mem)[-1]); }
void *sys_heap_aligned_alloc(struct sys_heap *heap, size_t align, size_t bytes) { (void)align; return sys_heap_alloc(heap, bytes); }
void *k_heap_aligned_alloc(struct k_heap *h, size_t align, size_t bytes, k_timeout_t timeout)
{ h->lock += timeout.ticks; return sys_heap_aligned_alloc(&h->heap, align, bytes); }
void k_heap_free(struct k_heap *h, void *mem) { sys_heap_free(&h->heap, mem); h->lock = 0; }
void *k_malloc(size_t size)
{
    struct k_heap **mem = k_heap_aligned_alloc(&_system_heap, 4 | sizeof(void *), size + sizeof(void *), K_NO_WAIT);
    if (!mem)
        return NULL;
    *mem = &_system_heap;
    return mem + 1;
}
void k_free(void *ptr) { if (ptr) k_heap_free(((struct k_heap **)ptr)[-1], (struct k_heap **)ptr - 1); }
static struct k_mem_slab slab;
static int slab_blocks[4][4];
int k_mem_slab_alloc(struct k_mem_slab *slab, void **mem, k_timeout_t timeout)
{
    static int used;
    (void)slab, (void)timeout;
    *mem = used < 3 ? slab_blocks[used++] : NULL;
    return *mem ? 0 : -12;
}
void *own_object;
static void start(void)
{
    void *object;
    sys_heap_init(&_system_heap.heap, arena, sizeof arena);
    k_mem_slab_init(&slab, slab_blocks, 16, 4);
    k_mem_slab_alloc(&slab, &own_object, K_NO_WAIT);
    for (int i = 0; i < 3; i++)
        if (k_mem_slab_alloc(&slab, &object, K_NO_WAIT) == 0)
            k_mem_slab_free(&slab, FREED(object));
}
static void *get(unsigned size) { return size == 32 ? sys_heap_alloc(&_system_heap.heap, 32) : k_malloc(size); }
static void put(void *block)
{
    if (((unsigned *)block)[-1] == 32)
        sys_heap_free(&_system_heap.heap, block);
    else
        k_free(block);
}
"""

ZEPHYR: Final = Family(
    "Zephyr",
    """
struct k_mem_slab { int wait_q; struct { uint32_t num_blocks; size_t block_size; } info; };
int k_mem_slab_init(struct k_mem_slab *slab, void *buffer, size_t block_size, uint32_t num_blocks)
{ (void)buffer; slab->info.num_blocks = num_blocks; slab->info.block_size = block_size; return 0; }
void k_mem_slab_free(struct k_mem_slab *slab, void *mem) { slab->wait_q += mem != NULL; }
#define FREED(object) object
"""
    + _ZEPHYR,
    faults=(DOUBLE_FREE, LEAK),
)

ZEPHYR_BEFORE_3_4: Final = Family(
    "Zephyr before 3.4",
    """
struct k_mem_slab { int wait_q; uint32_t num_blocks; size_t block_size; };
int k_mem_slab_init(struct k_mem_slab *slab, void *buffer, size_t block_size, uint32_t num_blocks)
{ (void)buffer; slab->num_blocks = num_blocks; slab->block_size = block_size; return 0; }
void k_mem_slab_free(struct k_mem_slab *slab, void **mem) { slab->wait_q += *mem != NULL; }
#define FREED(object) &object
"""
    + _ZEPHYR,
    faults=(DOUBLE_FREE, LEAK),
)

FAMILIES: Final = {
    "xv6": XV6,
    "litecore_public": LITECORE_PUBLIC,
    "lk": LK,
    "linux": LINUX,
    "mentos": MENTOS,
    "gnumach": GNU_MACH,
    "freertos": FREERTOS,
    "freertos_heap_1": FREERTOS_HEAP_1,
    "zephyr": ZEPHYR,
    "zephyr_before_3_4": ZEPHYR_BEFORE_3_4,
    "newlib": NEWLIB,
    "picolibc": PICOLIBC,
    "dlmalloc": DLMALLOC,
}
"""By the names of their built-in profiles."""

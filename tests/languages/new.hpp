/* What the parts of the kernel in C++ share. */

typedef __SIZE_TYPE__ size_t;

namespace std {
struct nothrow_t { };
enum class align_val_t : size_t { };
}

using std::align_val_t;
using std::nothrow_t;

void *operator new(size_t size, const nothrow_t &) noexcept;
inline void *operator new(size_t, void *where) noexcept { return where; }

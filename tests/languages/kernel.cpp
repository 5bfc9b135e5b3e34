/* A kernel in C++ that takes memory in all ways. */

#include "new.hpp"

namespace net {

struct Packet {
    int length;
    char data[60];
};

struct alignas(32) Ring {
    int head, tail;
    ~Ring() { head = tail; }
};

template <class T> class Pool {
public:
    T *get() { return new T; }
    void put(T *object) { delete object; }
};

__attribute__((noinline)) Packet *receive(int length)
{
    Packet *packet = new Packet;
    packet->length = length;
    return packet;
}

__attribute__((noinline)) void send(Packet *packet)
{
    delete packet;
}

const nothrow_t nothrow;
Packet *volatile last;
Ring *volatile ring;
char *volatile text;

}

extern "C" void kmain()
{
    for (int i = 0; i < 3; i++) {
        net::last = net::receive(i);
        net::send(net::last);
    }
    net::ring = new net::Ring;
    delete net::ring;
    net::text = new char[100];
    delete[] net::text;
    net::Pool<net::Packet> pool;
    net::last = pool.get();
    new (net::last) net::Packet;
    pool.put(net::last);
    net::last = new (net::nothrow) net::Packet;
    net::last = nullptr;
    net::send(net::last);
}

// Asio's non-template parts, compiled once for this room (BOOST_ASIO_SEPARATE_COMPILATION). The
// executor's library has the same object for programs without an API; a linker takes whichever it
// meets first.
#include <boost/asio/impl/src.hpp>

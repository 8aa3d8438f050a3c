// struct Port. PostgreSQL's header wants Kerberos' headers when the server was built with GSSAPI;
// without them it declares the same structure with an untyped pointer ("to keep struct offsets the
// same", libpq-be.h), which is all that we need.
#pragma once

#include "extension/pg/pg.h"

#pragma push_macro("ENABLE_GSS")
#undef ENABLE_GSS
extern "C" {
#include "libpq/libpq-be.h"
}
#pragma pop_macro("ENABLE_GSS")

// Include this LAST in every file of a pure room. It fails the build when PostgreSQL, Protobuf or
// gRPC headers have found their way in: pure code must compile, and be tested, without them.
#pragma once

#ifdef POSTGRES_H
#error "pure code must not include postgres.h"
#endif
#ifdef GOOGLE_PROTOBUF_VERSION
#error "pure code must not include Protobuf headers"
#endif
#ifdef GRPCPP_GRPCPP_H
#error "pure code must not include gRPC headers"
#endif

// Carries the precompiled header of the sanitizer builds (rooms.cmake); it has no code of its own.
#include "precompiled.h"

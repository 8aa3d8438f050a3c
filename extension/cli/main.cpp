// pgquorum: the command line of the cluster.
#include <cstdio>

#include "extension/version.h"

int main() {
  std::printf("pgquorum %s\n", pgquorum::kVersion);
  return 0;
}

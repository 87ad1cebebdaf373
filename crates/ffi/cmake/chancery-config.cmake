# find_package(chancery CONFIG) gives the target chancery::chancery. It lies in PREFIX/share/chancery/cmake; the library may lie in a folder for
# the machine's kind, as Debian has it.
include(CMakeFindDependencyMacro)
find_dependency(Threads)

get_filename_component(_chancery_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_path(chancery_INCLUDE_DIR chancery.h HINTS "${_chancery_prefix}/include" NO_DEFAULT_PATH)
find_library(chancery_LIBRARY chancery HINTS "${_chancery_prefix}"
  PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}" NO_DEFAULT_PATH)

if(NOT chancery_INCLUDE_DIR OR NOT chancery_LIBRARY)
  set(chancery_FOUND FALSE)
  set(chancery_NOT_FOUND_MESSAGE "chancery.h or libchancery is not in ${_chancery_prefix}")
  return()
endif()

if(NOT TARGET chancery::chancery)
  add_library(chancery::chancery UNKNOWN IMPORTED)
  set_target_properties(chancery::chancery PROPERTIES
    IMPORTED_LOCATION "${chancery_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${chancery_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES Threads::Threads)
endif()

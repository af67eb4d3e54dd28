# SPDX-License-Identifier: Apache-2.0
# The version stands in the public header alone, where programs can test it when they are compiled; a change there configures
# anew.
file(STRINGS include/metallic/metallic.h METALLIC_VERSION REGEX "^#define METALLIC_VERSION_(MAJOR|MINOR|PATCH) [0-9]+$")
string(REGEX REPLACE "[^0-9;]" "" METALLIC_VERSION "${METALLIC_VERSION}")
list(JOIN METALLIC_VERSION "." METALLIC_VERSION)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS include/metallic/metallic.h)

# metallic_embed(<target> <name> <file>)
#
# Links a file's bytes into a target: `extern "C" const char metallic_<name>[]; extern "C" const char metallic_<name>_end[];`
function(metallic_embed target name file)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.S)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [[
.section .rodata
.global metallic_@name@
.hidden metallic_@name@
.global metallic_@name@_end
.hidden metallic_@name@_end
metallic_@name@:
.incbin "@file@"
metallic_@name@_end:
.byte 0
.section .note.GNU-stack,"",%progbits
]])
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS ${file})
  target_sources(${target} PRIVATE ${source})
endfunction()

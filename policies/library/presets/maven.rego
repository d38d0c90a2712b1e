# Maven Central, Gradle's plugins and distributions, and Google's Maven repository.
package sallyport.presets.maven

import data.sallyport.lib

roots := {
	"repo.maven.apache.org": "/maven2",
	"repo1.maven.org": "/maven2",
	"plugins.gradle.org": "/m2",
	"plugins-artifacts.gradle.org": "/",
	"services.gradle.org": "/distributions",
	"maven.google.com": "/",
	"dl.google.com": "/dl/android/maven2",
}

# read holds for what is asked to build.
read if {
	root := roots[input.destination.host]
	lib.https
	input.request.method in {"GET", "HEAD"}
	lib.path_under(root)
}

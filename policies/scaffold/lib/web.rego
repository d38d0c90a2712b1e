# Helpers: a package of any name but egress and sallyport.
package lib.web

reads(method) if method in {"GET", "HEAD"}

"""Views that answer each other in the browser: maps, trees and lists of the same items."""

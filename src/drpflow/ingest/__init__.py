"""From a folder of FITS files to sheets: header maps, checks, visits, camera drafts."""

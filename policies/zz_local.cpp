namespace ptxgen { int zz_local_placeholder = 0; }

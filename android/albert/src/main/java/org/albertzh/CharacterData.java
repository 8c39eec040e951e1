package org.albertzh;

/**
 * What every character means to the tokenizer, Unicode 14.0.0; see {@link Characters}.
 *
 * <p>Written by android/make_character_data.py, which asks tokenization.py; do not edit.
 */
final class CharacterData {
    /** Runs of one kind, from U+0000: length in base 36 (none for 1), then the kind. */
    static final String KINDS =
            "9D2S2DSiDS6IJ6IJIaOJ6IqC3IJIJqC4IxDSI5OIGOCIODOG4OGCIJGOCI3OInCOvCO5fCO4C4O5"
                    + "sCOrC28G34M4C2G2C2OG3CIC4O2GCJ3COCOkCO2bCO3vCO5M2G4mCO12C2OG5IJ15C2I6O19MIMI"
                    + "2MI2MIM17OIJbO6D3O2IO2I2ObMID3IwOGaOlMaO4I2OM2rOIO7MDO6M2G2MO4MiOeIODOMuOrM2"
                    + "jObM1mO9M2GO3IG2OMoO4MG9MG3MG5M2OfIqO3M2OI15OG7O2D6O8M15OGoMDwM1jOMOM4O8M4OM"
                    + "3O7MaO2M2IaOIGfOM1mOM4O4M8OMkO2MpOIM2O2M1lOM4O2M4O2M2O3M3OMuO2M3OMIaO2M1lOM4"
                    + "O5MO2M4OMkO2McOI9O6MOM1mOM2OMO4M8OM7O2MbO2MuOM1pOMcOM1eOM3OM1jOMO3M5O3MO4M7O"
                    + "2MbO2MjOI9OM2OI1jOM2OM6OM5O2MkO2MsO2M1lO2M4O4M8OMkO2MtOM20OM7O3MOMtOI1oOM2O7"
                    + "MbOG8MIaO2I2dOM2O9M9OGO6M1iOfIOI3O2MrOMOMOM4I1fOeMO5MI2M5ObMO10M9OM9O5I4O2I2"
                    + "aO4MO6MO2M2O2MbO6I8O2M4O3MgO4MdOM2O2M6OMfOM2O12COC5OC2O17CIG3CgtO3M9I1jO2eC2"
                    + "O6C2OIh9OIhOSqO2I26O3I10O3MtO2MO2IrO2MuO2M1sO2MO7M8OM2ObM3IG3I2OMyObI3MDM1fO"
                    + "G1tO2MyOM3aO3M4O2M9OM6O3M8O2I5tO2M2OM2O2I1iOMO7MOMOM2O8M6OaM2OMwO7IG6I2OeMGg"
                    + "M1dO4M1cOMO5MOM5OMnO7IaO9M9O2IO2MwO4M2O2MO3M1kOMO2M3OMO3MaO4I18O8M2O2M3O5I1k"
                    + "O6G2I9C7O17C2O3C8I8O3MIdMO7M4OM6OM3O2M6O18C1rGdCGyC11G1sM7qC2O6C2O12C2O6C2O8"
                    + "COCOCOCOvC2O1hCO7CGC3G3CO7C3G4C2O6CO3GdC3G2O3CO7C2GObS5D8I2JaIJ2IJ2S5DSkIOdI"
                    + "OcIS5DOaDOGbO2IGdO2IOdG1fOdM4GM3GcMhOC4OC2OaCOC3O5C6OCOCOCO4CO6C4OC2O4C5O5C4"
                    + "OChOwC3O2CarO4ItO2IazO1gChqOeI27O2IvOaIb7OmI1rO4IwO2IeaO3gC2G2vC6O4C3M2C5O4I"
                    + "O2I12COC5OC1tOGIeOM2oOwM1bIGwI2OcIbmOS3IOG2OaI2OcIaO4M2OI5G5OGOI2jO2M4GOI2iO"
                    + "I3GldO534I1sOg74IlOGyqO6G2I7gOG3I1cO1aCOM3GIaMIGsC2G2M28O2M6I8OyG26CGnC3G4CO"
                    + "1nC5O2COCO5CoO3G2CO2GC7OM3OM4OMpO2M5OM1zO4I24O2M8O2IgOiM6O3IOI2OM12O8M2InObM"
                    + "dOIwO3M1cOM2O4M2O2M3OdIOGeO2I5OMG1uO6M2O2M2O2McOM8OMfO4IgOGbOM1fOMO3M2O2M5O2"
                    + "MOMrOG2IcO2M2O2IO2GOM1lO17C5G9C3G4O28C11OM2OM2OIOMf82Oe8I7CcO5C6OM43OhGajO2I"
                    + "5cOgM3IJ6I6OgMyIJOIJcIOI4OIO2I43ODO3IO2IJ3IO2IJIaOJI3O2IqC3IGIGqCIOIO7IaOG19"
                    + "O2G1vOGlO3DOD76O3I6yOM6aOM45O5M10OI1cOI1bO28C2oO10C4O10C37OIbCOfCO7CO2CObCOf"
                    + "CO7CO2CcjO6GO16GO9G4cOI5jOIvOI5dO3MO2M5O4M14O3M4OMgO9I12OI2tO2M9O7I1uO7I2hO4"
                    + "I6bO1fCdO1fC1dO4MarO2MI48ObM4O5I14O4M4I3bOM1iOfM7IyOM2O2MaO3M1dO4M2O2M2ID4IM"
                    + "aOD1eO3M10O5MO8MbO4I1bOM2IaO2M1gO9M6O4I4MIOMbOIO3I27O3M2OMO2M6IM2yOI1hOM3O8M"
                    + "lO2M1lO2M3OM11O7M3O5M5fO8M2O3MOM4O5IaO2IOIM2cO6MOM4O2MO2M2OI6jO4M6O2MO2MnI4O"
                    + "2M2dO8M2OMO2M3IsOdI1qOMOM2O6MOMOI2rO3M2O4MO5MgO3I6oO9MO2MI2sO1sC2jO2MOM4OM3I"
                    + "3xO4M2O2M4OMOIuOaM14O6M2O4M8IM9O6M2O3M1aOdMO2M3IO5Ib1O7MO6MOMO5I16O2IwOmM2O7"
                    + "MO2MO2M3eO6M3OMO2MO7MOM20O2M3OMOM9nO2M2O2I7aOIvkO5I29oO2Iu5O9DaphO2I3kO5MI1m"
                    + "O7M5I4O4GIl7O1sCnO4I50OM1rO4MdG1sO2GIGMcnfO4GO7GO2G2hqO2MI4D3mkO1aM2OnMf4O3M"
                    + "9O8D8M2O7MuO4M44O3McbO2dCO1zCO2C2OC2O2C2O4COcCOCO7CO1tCO4C2O8CO7COsCO4CO5COC"
                    + "3O7CO9gC2OpCOpCOvCOpCOvCOpCOvCOpCOvCOpCO8CfoO1jM4O1eM8OMeOM2O5IfO5MOfMuoOaCO"
                    + "kC69O7MOhM2O7MO2MO5M79O7M7Ga8OM1pO4M15sO7M15O1wC7MGiO2I1jkOqC6OqC6OqChdO5G2d"
                    + "cOwyoIwO7u8I85sOf4IfhepODuO2oD3kO6oM47bkO";

    /** Runs with a lower case, in base 36: first character, number, step, distance to it. */
    static final String LOWER_CASE =
            "1t,q,1,w 5c,n,1,w 60,7,1,w 74,o,2,1 8g,1,1,-5j 8i,3,2,1 8p,8,2,1 96,n,2,1 ag"
                    + ",1,1,-3d ah,3,2,1 ap,1,1,5u aq,2,2,1 au,1,1,5q av,1,1,1 ax,2,1,5p az,1,1,1 b"
                    + "2,1,1,27 b3,1,1,5m b4,1,1,5n b5,1,1,1 b7,1,1,5p b8,1,1,5r ba,1,1,5v bb,1,1,5"
                    + "t bc,1,1,1 bg,1,1,5v bh,1,1,5x bj,1,1,5y bk,3,2,1 bq,1,1,62 br,1,1,1 bt,1,1,"
                    + "62 bw,1,1,1 by,1,1,62 bz,1,1,1 c1,2,1,61 c3,2,2,1 c7,1,1,63 c8,1,1,1 cc,1,1,"
                    + "1 ck,1,1,2 cl,1,1,1 cn,1,1,2 co,1,1,1 cq,1,1,2 cr,9,2,1 da,9,2,1 dt,1,1,2 du"
                    + ",2,2,1 dy,1,1,-2p dz,1,1,-1k e0,k,2,1 f4,1,1,-3m f6,9,2,1 fu,1,1,8bv fv,1,1,"
                    + "1 fx,1,1,-4j fy,1,1,8bs g1,1,1,1 g3,1,1,-5f g4,1,1,1x g5,1,1,1z g6,5,2,1 og,"
                    + "2,2,1 om,1,1,1 ov,1,1,38 p2,1,1,12 p4,3,1,11 p8,1,1,1s pa,2,1,1r pd,h,1,w pv"
                    + ",9,1,w r3,1,1,8 rc,c,2,1 s4,1,1,-1o s7,1,1,1 s9,1,1,-7 sa,1,1,1 sd,3,1,-3m s"
                    + "g,g,1,28 sw,w,1,w v4,h,2,1 wa,r,2,1 xs,1,1,f xt,7,2,1 y8,1c,2,1 10x,12,1,1c "
                    + "3a8,12,1,5ls 3bb,1,1,5ls 3bh,1,1,5ls 3vk,28,1,tzk 3xs,6,1,8 5n4,17,1,-2bk 5o"
                    + "d,3,1,-2bk 5xc,23,2,1 61q,1,1,-5vj 61s,1c,2,1 64o,8,1,-8 654,6,1,-8 65k,8,1,"
                    + "-8 660,8,1,-8 66g,6,1,-8 66x,4,2,-8 67c,8,1,-8 688,8,1,-8 68o,8,1,-8 694,8,1"
                    + ",-8 69k,2,1,-8 69m,2,1,-22 69o,1,1,-9 6a0,4,1,-2e 6a4,1,1,-9 6ag,2,1,-8 6ai,"
                    + "2,1,-2s 6aw,2,1,-8 6ay,2,1,-34 6b0,1,1,-7 6bc,2,1,-3k 6be,2,1,-3i 6bg,1,1,-9"
                    + " 6jq,1,1,-5st 6ju,1,1,-6gv 6jv,1,1,-6di 6k2,1,1,s 6lc,g,1,g 6mb,1,1,1 792,q,"
                    + "1,q 8ow,1c,1,1c 8rk,1,1,1 8rm,1,1,-8af 8rn,1,1,-2xy 8ro,1,1,-89z 8rr,3,2,1 8"
                    + "rx,1,1,-8bg 8ry,1,1,-8al 8rz,1,1,-8bj 8s0,1,1,-8bi 8s2,1,1,1 8s5,1,1,1 8se,2"
                    + ",1,-8cf 8sg,1e,2,1 8vf,2,2,1 8vm,1,1,1 wu8,n,2,1 ww0,e,2,1 x0i,7,2,1 x0y,v,2"
                    + ",1 x2x,2,2,1 x31,1,1,-r9g x32,5,2,1 x3f,1,1,1 x3h,1,1,-wmg x3k,2,2,1 x3q,a,2"
                    + ",1 x4a,1,1,-wn8 x4b,1,1,-wnj x4c,1,1,-wnf x4d,1,1,-wn5 x4e,1,1,-wn8 x4g,1,1,"
                    + "-wlu x4h,1,1,-wmi x4i,1,1,-wlx x4j,1,1,ps x4k,8,2,1 x50,1,1,-1c x51,1,1,-wn7"
                    + " x52,1,1,-raw x53,2,2,1 x5c,1,1,1 x5i,2,2,1 x6d,1,1,1 1ee9,q,1,w 1fcw,14,1,1"
                    + "4 1fhs,10,1,14 1fn4,b,1,13 1fng,f,1,13 1fnw,7,1,13 1fo4,2,1,13 1h1c,1f,1,1s "
                    + "1jfk,w,1,w 20cg,w,1,w 2olc,y,1,y";

    private CharacterData() {}
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CodeStorage} from "../libraries/CodeStorage.sol";
import {Descriptor} from "../libraries/proof/Descriptor.sol";
import {Image} from "../libraries/proof/Image.sol";
import {Layouts} from "../libraries/proof/Layout.sol";
import {Run} from "../libraries/proof/Run.sol";

/// @title CircuitReader: the half of ProofVerifier that reads descriptors
/// @notice A contract of its own because both do not fit into one (EIP-170). It has no state; ProofVerifier creates it
///         and trusts its code.
contract CircuitReader {
    /// @notice Parses the descriptor stored at `circuit`, lays it out, and returns the memory in which it did, to be used
    ///         at the same place (Image.sol). Reverts unless the descriptor is well formed.
    function read(address circuit, uint256 chunkBits) external view {
        Image.begin();
        Run memory run;
        run.network = Descriptor.parse(CodeStorage.read(circuit));
        run.plan = Layouts.make(run.network, chunkBits);
        Image.finish(run);
    }
}

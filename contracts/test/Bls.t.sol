// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlsKeys} from "../src/BlsKeys.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Precompiles} from "../src/libraries/proof/Precompiles.sol";
import {BlsDeployment} from "./BlsDeployment.sol";
import {vm} from "./Vm.sol";

/// @title The primitive, held to tests/vectors/bls.json, which py_ecc made
contract BlsTest is BlsDeployment {
    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("tests/vectors/bls.json");
    }

    function test_TagsAreThoseOfTheDraft() public view {
        bytes memory tagged = bytes(vm.parseJsonString(json, ".claimTag"));
        vm.assertEq(tagged.length, 43);
        vm.assertEq(bytes32(tagged), Bls.CLAIMS);
        vm.assertEq(bytes32(bytes(vm.parseJsonString(json, ".possessionTag"))), Bls.POSSESSIONS);
    }

    function test_HashesAndAggregates() public view {
        for (uint256 i; vm.keyExistsJson(json, rowAt(".aggregates", i)); ++i) {
            bytes32 digest = vm.parseJsonBytes32(json, string.concat(rowAt(".aggregates", i), ".digest"));
            bytes memory key = read(".aggregates", i, ".sumOfKeys");
            bytes memory signature = read(".aggregates", i, ".signature");
            vm.assertEq(packed(hashed(Bls.CLAIMS, digest)), read(".aggregates", i, ".hash"));
            vm.assertTrue(this.isSigned(Bls.CLAIMS, digest, signature, key), "a true signature");
            vm.assertTrue(!this.isSigned(Bls.POSSESSIONS, digest, signature, key), "under the other tag");
            vm.assertTrue(!this.isSigned(Bls.CLAIMS, ~digest, signature, key), "of another digest");
        }
    }

    /// @dev Each row's operator takes a seat in a registry of its own, with keys at the row's address and chain.
    function test_PossessionsRegister() public {
        for (uint256 i; vm.keyExistsJson(json, rowAt(".keys", i)); ++i) {
            address operator = vm.parseJsonAddress(json, string.concat(rowAt(".keys", i), ".operator"));
            vm.chainId(vm.parseJsonUint(json, string.concat(rowAt(".keys", i), ".chainId")));
            operators = deployOperators(address(0));
            BlsKeys moved = moveKeys(vm.parseJsonAddress(json, string.concat(rowAt(".keys", i), ".contract")));
            bytes memory possession =
                signDigest(keyOf(i), operators.computePossessionDigest(operator, vm.addr(keyOf(i))));
            vm.deal(operator, MIN_STAKE_WEI);
            vm.prank(operator);
            operators.register{value: MIN_STAKE_WEI}(uint8(i), vm.addr(keyOf(i)), possession);
            bytes memory key = read(".keys", i, ".key");
            vm.assertEq(
                moved.computePossessionDigest(operator, keccak256(key)),
                vm.parseJsonBytes32(json, string.concat(rowAt(".keys", i), ".possessionDigest"))
            );
            bytes memory proof = read(".keys", i, ".possession");
            vm.prank(operator);
            moved.register(uint8(i), key, proof);
            vm.assertEq(moved.operatorOf(keccak256(key)), operator);
        }
    }

    function test_EverySingleBitOfASignatureCounts() public view {
        bytes32 digest = keccak256("a claim");
        bytes memory key = publicKey(secretOf(0));
        bytes memory signature = signBls(secretOf(0), Bls.CLAIMS, digest);
        for (uint256 i; i < 8 * signature.length; ++i) {
            requireUnsigned(digest, flipped(signature, i), key);
        }
        vm.assertTrue(this.isSigned(Bls.CLAIMS, digest, signature, key), "unflipped");
    }

    /// @dev x + p is x again for whoever reduces: it must not be another encoding of the same signature.
    function test_ACoordinateAboveTheModulusIsNoEncoding() public {
        bytes memory signature = signBls(secretOf(0), Bls.CLAIMS, keccak256("a claim"));
        bytes memory shifted = bytes.concat(plusModulus(signature), lastHalf(signature));
        bytes memory key = publicKey(secretOf(0));
        vm.expectPartialRevert(Precompiles.PrecompileFailed.selector);
        this.isSigned(Bls.CLAIMS, keccak256("a claim"), shifted, key);
    }

    function test_APointOutsideTheGroupIsNoSignature() public {
        bytes memory outside = vm.parseJsonBytes(json, ".signatureOutsideTheGroup");
        bytes memory key = publicKey(secretOf(0));
        vm.expectPartialRevert(Precompiles.PrecompileFailed.selector);
        this.isSigned(Bls.CLAIMS, keccak256("a claim"), outside, key);
    }

    function test_InfinityIsNoSignature() public {
        vm.expectRevert(Bls.InfiniteSignature.selector);
        this.isSigned(Bls.CLAIMS, keccak256("a claim"), new bytes(96), new bytes(256));
    }

    function test_OnlyTheExactLengthIsASignature() public {
        bytes memory signature = signBls(secretOf(0), Bls.CLAIMS, keccak256("a claim"));
        bytes memory key = publicKey(secretOf(0));
        vm.expectRevert(abi.encodeWithSelector(Bls.SignatureLength.selector, 96, 97));
        this.isSigned(Bls.CLAIMS, keccak256("a claim"), bytes.concat(signature, hex"00"), key);
        vm.expectRevert(abi.encodeWithSelector(Bls.SignatureLength.selector, 96, 0));
        this.isSigned(Bls.CLAIMS, keccak256("a claim"), "", key);
    }

    function testFuzz_SignaturesAdd(uint256 first, uint256 second, bytes32 digest) public view {
        first = 1 + first % (GROUP_ORDER - 1);
        second = 1 + second % (GROUP_ORDER - 1);
        vm.assume(addModOrder(first, second) != 0);
        bytes memory sum = addSignatures(signBls(first, Bls.CLAIMS, digest), signBls(second, Bls.CLAIMS, digest));
        vm.assertEq(sum, signBls(addModOrder(first, second), Bls.CLAIMS, digest));
        vm.assertTrue(this.isSigned(Bls.CLAIMS, digest, sum, publicKey(addModOrder(first, second))), "sum");
    }

    function isSigned(bytes32 tag, bytes32 digest, bytes calldata signature, bytes calldata key)
        external
        view
        returns (bool)
    {
        return Bls.isSigned(tag, digest, signature, key);
    }

    function requireUnsigned(bytes32 digest, bytes memory signature, bytes memory key) private view {
        try this.isSigned{gas: 1_000_000}(Bls.CLAIMS, digest, signature, key) returns (bool accepted) {
            vm.assertTrue(!accepted, "accepted a flipped bit");
        } catch (bytes memory reason) {
            vm.assertTrue(reason.length >= 4, "refused without a reason");
        }
    }

    /// @dev The code at the address that the vector names, made with that address and chain in mind.
    function moveKeys(address place) private returns (BlsKeys moved) {
        vm.etch(place, deployShipped("BlsKeys", abi.encode(operators)).code);
        return BlsKeys(place);
    }

    function plusModulus(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 a, bytes32 b) = abi.decode(signature, (bytes32, bytes32));
        uint256 high = uint256(a) >> 128;
        uint256 low = uint256(a << 128) | (uint256(b) >> 128);
        uint256 modulusLow = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
        uint256 sumLow;
        unchecked {
            sumLow = low + modulusLow;
        }
        uint256 sumHigh = high + 0x1a0111ea397fe69a4b1ba7b6434bacd7 + (sumLow < low ? 1 : 0);
        return abi.encodePacked(uint128(sumHigh), sumLow);
    }

    function lastHalf(bytes memory signature) private pure returns (bytes memory half) {
        half = new bytes(48);
        for (uint256 i; i < 48; ++i) {
            half[i] = signature[48 + i];
        }
    }

    function flipped(bytes memory data, uint256 bit) private pure returns (bytes memory result) {
        result = bytes.concat(data);
        result[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
    }

    function read(string memory list, uint256 i, string memory field) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat(rowAt(list, i), field));
    }

    function rowAt(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]");
    }
}
